package kernel_test

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/kernel"
)

type cleaner interface {
	Helper()
	Cleanup(f func())
	Fatal(args ...any)
}

// open returns two ends that speak with each other, and a pipe. None of them blocks.
func open(t cleaner) (ends, pipe [2]int) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
	}
	if err == nil { // it holds sixteen pieces else, be they ever so small
		_, err = unix.FcntlInt(uintptr(pipe[1]), unix.F_SETPIPE_SZ, 1<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range []int{ends[0], ends[1], pipe[0], pipe[1]} {
			_ = unix.Close(fd)
		}
	})
	return ends, pipe
}

// TestAllIsPassedOn: what is written in any pieces is read in others, some of it after it
// went through a pipe; peeking takes nothing of it, and with nothing there no call waits.
func TestAllIsPassedOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ends, pipe := open(t)
		var wrote, got []byte
		piped := 0
		took := func(p []byte, n int, err error, from int) {
			if from == 0 {
				if !errors.Is(err, unix.EAGAIN) {
					t.Fatalf("with nothing there: %d bytes, %v", n, err)
				}
				return
			}
			if err != nil || n <= 0 {
				t.Fatalf("with %d bytes there: %d, %v", from, n, err)
			}
			got = append(got, p[:n]...)
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "p")
				n, err := kernel.Write(ends[0], p)
				if n != len(p) || err != nil {
					t.Fatalf("%d of %d bytes, %v", n, len(p), err)
				}
				wrote = append(wrote, p...)
			},
			"peek": func(t *rapid.T) {
				n, err := kernel.Peek(ends[1])
				if there := len(wrote) > len(got)+piped; there != (n == 1) || there != (err == nil) {
					t.Fatalf("%d bytes, %v; something is there: %t", n, err, there)
				}
			},
			"read": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(1, 150).Draw(t, "size"))
				from := ends[1]
				there := len(wrote) - len(got) - piped
				if piped > 0 { // it came before
					from, there = pipe[0], piped
				}
				n, err := unix.Read(from, p)
				took(p, n, err, there)
				if from == pipe[0] {
					piped -= max(n, 0)
				}
			},
			"splice": func(t *rapid.T) {
				most := rapid.IntRange(1, 150).Draw(t, "most")
				there := len(wrote) - len(got) - piped
				n, err := kernel.Splice(ends[1], pipe[1], most)
				if piped > 0 && errors.Is(err, unix.EAGAIN) {
					return // the pipe may be full: it holds few pieces, be they ever so small
				}
				if moved := min(most, there); moved > 0 && (n <= 0 || n > moved || err != nil) || moved == 0 && !errors.Is(err, unix.EAGAIN) {
					t.Fatalf("%d of %d bytes, %v", n, moved, err)
				}
				piped += max(n, 0)
			},
			"": func(t *rapid.T) {
				if !bytes.HasPrefix(wrote, got) {
					t.Fatalf("wrote %q and read %q", wrote, got)
				}
			},
		})
	})
}

// TestTheEndIsTold: the end of what comes is no error, and a write to who is gone is one.
func TestTheEndIsTold(t *testing.T) {
	t.Parallel()
	ends, _ := open(t)
	_ = unix.Shutdown(ends[0], unix.SHUT_RDWR)

	read, readErr := kernel.Read(ends[1], make([]byte, 1))
	peeked, peekErr := kernel.Peek(ends[1])
	wrote, writeErr := kernel.Write(ends[1], []byte("a"))

	if read != 0 || readErr != nil {
		t.Errorf("read %d bytes, %v", read, readErr)
	}
	if peeked != 0 || peekErr != nil {
		t.Errorf("peeked at %d bytes, %v", peeked, peekErr)
	}
	if wrote != -1 || !errors.Is(writeErr, unix.EPIPE) {
		t.Errorf("wrote %d bytes, %v", wrote, writeErr)
	}
}

// TestReadyIsTold: who has something is told of, each with its own word, and no call waits.
func TestReadyIsTold(t *testing.T) {
	t.Parallel()
	ends, _ := open(t)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(epoll) })
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: 7, Pad: 11}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, ends[1], &event); err != nil {
		t.Fatal(err)
	}
	var told [4]unix.EpollEvent

	before, beforeErr := kernel.Poll(epoll, told[:], 0)
	_, _ = kernel.Write(ends[0], []byte("a"))
	after, afterErr := kernel.Poll(epoll, told[:], 0)

	if before != 0 || beforeErr != nil {
		t.Errorf("with nothing there: %d, %v", before, beforeErr)
	}
	if after != 1 || afterErr != nil || told[0] != event {
		t.Errorf("with something there: %d, %v, %v", after, afterErr, told[0])
	}
}
