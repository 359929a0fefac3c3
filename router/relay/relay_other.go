//go:build !linux

package relay

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/aloft-run/aloft/poller"
)

// shared is empty where nothing is shared.
type shared struct{ Loop *poller.Loop }

// Close gives back what is kept: nothing.
func (*shared) Close() {}

// inLoop relays nothing: there are no loops.
func (*shared) inLoop(context.Context, Conn, Conn) (Passed, bool, error) { return Passed{}, false, nil }

// Move passes on nothing.
func (*shared) Move(_, _ syscall.RawConn, _ int64, _ func()) Moved { return Moved{} }

// watch has the kernel find out that nobody is at the other end.
func watch(conn Conn) {
	if socket, ok := conn.(*net.TCPConn); ok {
		_ = socket.SetKeepAliveConfig(alive()) // fails only on a closed connection
	}
}

// isUnconnected reports whether the other end has closed both ways already.
func isUnconnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }
