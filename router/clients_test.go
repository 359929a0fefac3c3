package router_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/aloft-run/aloft/router"
)

// TestNoMoreConnectWhileOthersWait: who has connected to a listener that is to be closed is
// accepted, and nobody else connects before it is closed: more could come than are accepted.
func TestNoMoreConnectWhileOthersWait(t *testing.T) {
	t.Parallel()
	const waiting = 20
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		return err
	}
	for range waiting {
		if err := dial(); err != nil {
			t.Fatal(err)
		}
	}

	closing := router.Closing(listener)

	for range 3 {
		if dial() == nil {
			t.Error("one more has connected")
		}
	}
	accepted := 0
	for ; err == nil; accepted++ {
		var conn net.Conn
		if conn, err = closing.Accept(); err == nil {
			_ = conn.Close()
		}
	}
	if accepted--; accepted < waiting || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d of %d were accepted, until %v", accepted, waiting, err)
	}
}
