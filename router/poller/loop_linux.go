package poller

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/router/kernel"
)

// batchMax is how many sockets are told of by one call of the kernel.
const batchMax = 128

// turnsMax is after how many turns a loop lets others run. If it never has to wait, another
// that has become ready on the same processor would have it only after 10 ms.
const turnsMax = 4

// wanted is what the kernel tells of a socket, once each time.
const wanted = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff

// Loop has sockets. Make it with New and end it with Close.
//
// Its epoll is a file like others to Go's own poller, on which its goroutine waits. So it
// holds no thread while nothing happens, and others run between its turns.
type Loop struct {
	epoll int
	file  *os.File // of it
	wake  int      // an eventfd
	ended chan struct{}

	mu     sync.Mutex // guards the two below
	asked  []func()
	closed bool

	// Owned by the goroutine.
	slots []slot
	free  []uint32
	again []Token // of the sources that want another turn
	batch [batchMax]unix.EpollEvent
}

// slot is where a source is found.
type slot struct {
	source Source
	number int32 // changes with each source, so that old news is not taken for its own
	again  bool  // it wants another turn
}

// Token names a socket of a loop.
type Token struct {
	at     uint32
	number int32
}

// wakeToken is what the kernel says of the eventfd. No source has it.
func wakeToken() Token { return Token{at: 1<<31 - 1, number: -1} }

// New starts a loop.
func New() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(epoll))
	}
	err = unix.SetNonblock(epoll, true) // or Go's poller does not take it
	l := &Loop{epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), wake: wake, ended: make(chan struct{})}
	raw, rawErr := l.file.SyscallConn()
	if err = errors.Join(err, rawErr, l.follow(wake, wakeToken())); err != nil {
		return nil, errors.Join(err, l.file.Close(), unix.Close(wake))
	}
	go l.run(raw)
	return l, nil
}

// Close ends the loop, and returns when it has ended. Sockets that it has are not closed.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.rouse()
	<-l.ended
}

// Do has the loop call a function, soon. It reports whether the loop will.
func (l *Loop) Do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.asked = append(l.asked, f)
	if len(l.asked) == 1 {
		l.rouse()
	}
	return true
}

// rouse wakes the loop. The kernel tells of each write, so that nobody need read.
func (l *Loop) rouse() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(l.wake, one[:]) // fails only when nobody has read 2⁶⁴ of them
}

// Add has a source told of its socket from now on. It begins with what is ready already.
// Only what the loop calls may call it, and Remove.
func (l *Loop) Add(fd int, source Source) (Token, error) {
	var at uint32
	if last := len(l.free) - 1; last >= 0 {
		at, l.free = l.free[last], l.free[:last]
	} else {
		at = uint32(len(l.slots)) //nolint:gosec // there are never so many sockets
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[at]
	s.source = source
	token := Token{at, s.number}
	if err := l.follow(fd, token); err != nil {
		l.forget(token)
		return Token{}, err
	}
	return token, nil
}

// Remove has nobody told of a socket any more. It must be open still.
func (l *Loop) Remove(fd int, token Token) {
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // it is there
	l.forget(token)
}

func (l *Loop) forget(token Token) {
	l.slots[token.at] = slot{number: token.number + 1}
	l.free = append(l.free, token.at)
}

func (l *Loop) follow(fd int, token Token) error {
	event := unix.EpollEvent{Events: wanted, Fd: int32(token.at), Pad: token.number} //nolint:gosec // the kernel only keeps it
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// run tells the sources until the loop is closed.
func (l *Loop) run(raw syscall.RawConn) {
	defer close(l.ended)
	defer func() { _, _ = l.file.Close(), unix.Close(l.wake) }()
	n, turns := 0, 0
	wait := func(uintptr) bool {
		n = l.look()
		return n > 0
	}
	for {
		if turns++; turns%turnsMax == 0 || len(l.again) > 0 {
			runtime.Gosched() // for others than sources, too
		}
		if len(l.again) > 0 {
			n = l.look()
		} else if raw.Read(wait) != nil {
			return // which has no reason
		}
		again := l.again
		l.again = nil
		for _, event := range l.batch[:n] {
			token := Token{uint32(event.Fd), event.Pad} //nolint:gosec // as it was given
			if token != wakeToken() {
				l.tell(token, eventsOf(event.Events))
			} else if !l.answer() {
				return
			}
		}
		for _, token := range again {
			if s := &l.slots[token.at]; s.number == token.number {
				s.again = false
				l.tell(token, 0)
			}
		}
	}
}

// look asks the kernel what is ready, without a wait.
func (l *Loop) look() int {
	n, _ := kernel.Poll(l.epoll, l.batch[:]) // without a wait nothing can interrupt it
	return max(n, 0)
}

// tell gives a source its turn, unless it is gone.
func (l *Loop) tell(token Token, events Events) {
	s := l.slots[token.at]
	if s.source == nil || s.number != token.number || !s.source.Ready(events) {
		return
	}
	if s := &l.slots[token.at]; s.number == token.number && !s.again { // Ready may have moved it
		s.again = true
		l.again = append(l.again, token)
	}
}

// answer does what the loop was asked for, and reports whether it goes on.
func (l *Loop) answer() bool {
	l.mu.Lock()
	asked, closed := l.asked, l.closed
	l.asked = nil
	l.mu.Unlock()
	for _, f := range asked {
		f()
	}
	return !closed
}

func eventsOf(bits uint32) (events Events) {
	if bits&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Readable
	}
	if bits&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Writable
	}
	if bits&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Ending
	}
	return events
}
