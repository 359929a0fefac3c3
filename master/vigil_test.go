package master_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/master"
)

// TestWhatIsUnreadIsDoubted: a master whose readers have no processor does not take an agent
// for silent at once that it has not heard.
func TestWhatIsUnreadIsDoubted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		says string
		read time.Duration // when it is read, and more is said
		want time.Duration
	}{
		"the agent says nothing":              {"", time.Hour, 3 * time.Second},
		"nobody reads what the agent says":    {"words", time.Hour, 6 * time.Second},
		"it is read late, and more is not":    {"words", 4 * time.Second, 10 * time.Second},
		"it is read in time, and more is not": {"words", 3 * time.Second, 9 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := connection(t)
			synctest.Test(t, func(t *testing.T) {
				server, look, cut := master.Attending(near, 3*time.Second)
				_, _ = far.Write([]byte(test.says))
				began, read := time.Now(), false
				for again := 3 * time.Second; cut.Load() == 0; synctest.Wait() {
					time.Sleep(again)
					if !read && time.Since(began) >= test.read {
						_, _ = io.ReadFull(server, make([]byte, len(test.says)))
						_, _ = far.Write([]byte("more"))
						read = true
					}
					again = look()
				}

				if got := time.Since(began); got < test.want || got > test.want+test.want/10 {
					t.Errorf("the session is cut off after %v; want %v", got, test.want)
				}
			})
		})
	}
}

// connection returns both ends of a connection of TCP.
func connection(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}
