//go:build !linux

package relay

import (
	"errors"
	"net"
	"syscall"
)

// shared is empty where nothing is shared.
type shared struct{}

// Close gives back what is kept: nothing.
func (*shared) Close() {}

func (*shared) pump(to, from Conn) (int64, error) { return copied(to, from) }

// watch has the kernel find out that nobody is at the other end.
func watch(conn Conn) {
	if socket, ok := conn.(*net.TCPConn); ok {
		_ = socket.SetKeepAliveConfig(alive()) // fails only on a closed connection
	}
}

// isUnconnected reports whether the other end has closed both ways already.
func isUnconnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }
