package kernel

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is recv(2) on a socket. Of the calls that read, it asks the least of the kernel.
func Read(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno != unix.EINTR {
			return outcome(n, errno)
		}
	}
}

// Write is send(2) on a socket.
func Write(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return outcome(n, errno)
		}
	}
}

// Peek is recv(2) of the next byte of a socket, which stays where it is.
func Peek(fd int) (int, error) {
	var one [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&one)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return outcome(n, errno)
		}
	}
}

// Splice is splice(2) that does not wait for the pipe.
func Splice(from, to, most int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if errno != unix.EINTR {
			return outcome(n, errno)
		}
	}
}

// Poll is epoll_wait(2) that waits no longer than limit, to the millisecond. When Go wants
// the thread to stop, to collect garbage or to run others, its signal interrupts the wait.
func Poll(epoll int, into []unix.EpollEvent, limit time.Duration) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)), uintptr(limit.Milliseconds()), 0, 0)
	return outcome(n, errno)
}

func outcome(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
