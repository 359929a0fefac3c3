//go:build !linux

package kernel

import (
	"errors"
	"syscall"
)

// Read is read(2).
func Read(fd int, p []byte) (int, error) {
	return again(func() (int, error) { return syscall.Read(fd, p) })
}

// Write is write(2).
func Write(fd int, p []byte) (int, error) {
	return again(func() (int, error) { return syscall.Write(fd, p) })
}

// Peek is recv(2) of the next byte of a socket, which stays where it is.
func Peek(fd int) (int, error) {
	var one [1]byte
	return again(func() (int, error) {
		n, _, err := syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

// again calls do for as long as signals interrupt it.
func again(do func() (int, error)) (n int, err error) {
	for {
		if n, err = do(); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
