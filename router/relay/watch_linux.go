package relay

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// watch has the kernel find out that nobody is at the other end, also while it
// waits for receipts.
func watch(conn Conn) {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = socket.SetKeepAliveConfig(alive()) // fails only on a closed connection
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheardMax.Milliseconds()))
	})
}

// isUnconnected reports whether the other end has closed both ways already.
func isUnconnected(err error) bool { return errors.Is(err, unix.ENOTCONN) }
