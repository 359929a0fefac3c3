package poller

import (
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/kernel"
)

// turnsMax is after how many turns a hand without a thread lets others run. If it never has
// to wait, another that has become ready on the same processor would have it only after 10 ms.
const turnsMax = 32

// newsMax is how many sockets that have become ready a hand tells of before those that want
// another turn have theirs.
const newsMax = 8

// crowd is of how many events a hand tells between two rests before it rests for longer. They may
// all be of one socket that is busy: what comes by it waits in the kernel for so long.
const crowd = 16

// wanted is what the kernel tells of a socket, once each time.
const wanted = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff

// Loop has sockets, of which its hands are told. It starts with the first. Make it with New,
// and end it with Close. A nil Loop takes no socket.
type Loop struct {
	hands    []hand
	threaded bool
	rest     time.Duration // 0: none
	crowded  time.Duration // the same, after a crowd
	slots    slots
	asleep   atomic.Int32 // so many hands wait until the kernel wakes them

	mu     sync.Mutex // guards what is below, which changes no more while hands are there
	state  state
	epoll  int
	file   *os.File // of it, for Go's poller; nil: each hand has a thread
	wake   int      // an eventfd, ready when the loop is closed
	nudge  int      // an eventfd: who writes to it wakes one hand
	ending sync.WaitGroup
}

// state is how far a loop has come.
type state int

const (
	fresh state = iota
	open
	closed // or it could not start
)

// New returns a loop with so many hands: each asks the kernel what is ready, and tells the
// sources. With threaded each waits in the kernel itself, and holds a thread and one of
// GOMAXPROCS for so long: it is for a process that has more of these than hands. Else the epoll
// is a file like others to Go's own poller, on which they wait, and others run between their turns.
//
// Threads are what makes a loop as quick as other servers' are. Go's scheduler asks the kernel
// what is ready when it has nothing else to do: if the kernel puts the thread aside that does so,
// nobody asks, though there may be a processor with nothing to do. And that any hand is told of any
// socket, and takes from what another was told, is what makes it steady: nothing waits long for a
// thread that was put aside, but the socket that it has just taken.
func New(hands int, threaded bool) *Loop {
	return &Loop{hands: make([]hand, hands), threaded: threaded}
}

// NewResting returns a loop for what does not mind to wait for a moment: its one hand rests each
// time that it has told of all, for so long, or for crowded when that was crowd or more. What is
// ready by then costs it much less to tell of than if it were woken for each.
func NewResting(rest, crowded time.Duration) *Loop {
	return &Loop{hands: make([]hand, 1), threaded: true, rest: rest, crowded: crowded}
}

// Start starts the hands if nobody has, and reports whether they are there: not if the loop is
// closed, or there was no descriptor for it.
func (l *Loop) Start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start()
}

// start is Start. The caller holds mu.
func (l *Loop) start() bool {
	if l.state != fresh {
		return l.state == open
	}
	l.state = closed
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return false
	}
	l.wake, l.nudge = -1, -1
	if err = l.join(&l.wake, wakeToken(), unix.EPOLLIN); err == nil { // level-triggered, for all hands
		err = l.join(&l.nudge, nudgeToken(), unix.EPOLLIN|unix.EPOLLET&0xffffffff)
	}
	if err == nil && !l.threaded {
		err = unix.SetNonblock(l.epoll, true) // or Go's poller does not take it
		l.file = os.NewFile(uintptr(l.epoll), "epoll")
	}
	if err != nil {
		l.release()
		return false
	}
	l.state = open
	for i := range l.hands {
		l.hands[i].loop = l
	}
	for i := range l.hands {
		l.ending.Go(l.hands[i].run)
	}
	return true
}

// join makes an eventfd, of which the hands are told.
func (l *Loop) join(fd *int, token Token, events uint32) (err error) {
	if *fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: events, Fd: token.at, Pad: token.number}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, *fd, &event)
}

// Close ends the loop, and returns when its hands have ended. Sockets that it has are not
// closed.
func (l *Loop) Close() {
	l.mu.Lock()
	was := l.state
	l.state = closed
	l.mu.Unlock()
	if was != open {
		return
	}
	ring(l.wake)
	l.ending.Wait()
	l.release()
}

// ring makes an eventfd ready.
func ring(fd int) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(fd, one[:]) // there is room for very many
}

// release gives the descriptors back.
func (l *Loop) release() {
	_, _ = unix.Close(l.wake), unix.Close(l.nudge) // or they are -1
	if l.file != nil {
		_ = l.file.Close()
		return
	}
	_ = unix.Close(l.epoll)
}

// Add has a source told of its socket from now on. It begins with what is ready already, maybe
// before the caller has the token. The error wraps net.ErrClosed if the loop is closed, or has
// no descriptor.
func (l *Loop) Add(fd int, source Source) (Token, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.start() {
		return Token{}, net.ErrClosed
	}
	token := l.slots.take(source)
	event := unix.EpollEvent{Events: wanted, Fd: token.at, Pad: token.number}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.slots.free(token)
		return Token{}, os.NewSyscallError("epoll_ctl", err)
	}
	return token, nil
}

// Remove has nobody told of a socket any more. It must be open still. The source may be told
// once more by each hand.
func (l *Loop) Remove(fd int, token Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == open {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // it is there
	}
	l.slots.free(token)
}

// hand tells sources what the kernel tells it.
type hand struct {
	loop  *Loop
	again []*slot // of the sources that want another turn
	next  news    // that look has found
	batch batch
	asked [batchMax]unix.EpollEvent
	found int // since it rested
}

// run tells the sources until the loop is closed.
func (h *hand) run() {
	wait := h.waitInKernel
	switch {
	case h.loop.rest > 0:
		wait = h.waitRested
	case h.loop.file != nil:
		wait = h.waitWithOthers()
	}
	for turns, going := 1, true; going; turns++ {
		if h.loop.file != nil && (turns%turnsMax == 0 || len(h.again) > 0) {
			runtime.Gosched() // for others than sources, too
		}
		if len(h.again) > 0 {
			going = h.tellOld()
		} else if wait() {
			going = h.tellNext()
		}
	}
}

// tellOld gives the sources another turn that want it, behind a few whose sockets have become
// ready, or reports that the loop is closed.
func (h *hand) tellOld() bool {
	again := h.again
	h.again = nil
	for i := 0; i < newsMax && h.look(0); i++ {
		if !h.tellNext() {
			return false
		}
	}
	for _, s := range again {
		s.again.Store(false)
		h.tell(s, 0)
	}
	return true
}

// tellNext tells a source what the kernel told of its socket, or reports that the loop is closed.
func (h *hand) tellNext() bool {
	switch h.next.of {
	case wakeToken():
		return false
	case nudgeToken():
		return true // what it is for is taken next
	}
	if s := h.loop.slots.find(h.next.of); s != nil {
		h.tell(s, eventsOf(h.next.bits))
	}
	return true
}

// waitWithOthers returns how to wait by Go's poller.
func (h *hand) waitWithOthers() (wait func() bool) {
	raw, err := h.loop.file.SyscallConn()
	ready := false
	try := func(uintptr) bool {
		ready = h.look(0)
		return ready
	}
	return func() bool {
		if err == nil {
			_ = raw.Read(try) // the file is closed after the last hand has ended
		}
		return ready
	}
}

// patience is how long a hand waits in the kernel before it tells Go that it waits. Go has
// a thread look for such calls every 20 µs, and give away what they hold; under load, when
// the next event is near, that costs more than it gives. And for so long it keeps watch over
// what others were told of: one of them may have been put aside.
const patience = time.Millisecond

// waitInKernel waits until a socket is ready, and reports whether one is.
func (h *hand) waitInKernel() bool {
	if h.look(patience) {
		return true
	}
	h.loop.asleep.Add(1)
	defer h.loop.asleep.Add(-1)
	if h.take() { // another was told of it, before it could see this one asleep
		return true
	}
	n, _ := unix.EpollWait(h.loop.epoll, h.asked[:1], -1) // an interruption finds nothing
	return h.told(n)
}

// waitRested rests before it waits in the kernel. Nobody else waits for the sockets meanwhile:
// nothing is woken by them.
func (h *hand) waitRested() bool {
	if h.look(0) {
		return true
	}
	time.Sleep(h.nextRest())
	if h.look(0) {
		return true
	}
	n, _ := unix.EpollWait(h.loop.epoll, h.asked[:], -1) // an interruption finds nothing
	return h.told(n)
}

// nextRest returns how long to rest after what was found since the last time.
func (h *hand) nextRest() time.Duration {
	rest := h.loop.rest
	if h.found >= crowd {
		rest = h.loop.crowded
	}
	h.found = 0
	return rest
}

// look finds a socket that is ready. It asks the kernel only when nothing is left of what that has told,
// and waits for so long without telling Go.
func (h *hand) look(limit time.Duration) bool {
	if h.take() {
		return true
	}
	most := batchMax
	if h.loop.isAlone() {
		most = 1 // the kernel wakes another for the next
	}
	n, _ := kernel.Poll(h.loop.epoll, h.asked[:most], limit) // an interruption finds nothing
	return h.told(n)
}

// isAlone reports whether nobody keeps watch over what the one hand that asks is told of, though
// others could.
func (l *Loop) isAlone() bool {
	return l.rest == 0 && (!l.threaded || int(l.asleep.Load()) >= len(l.hands)-1)
}

// told shares what the kernel has told of so many sockets, and takes the first that is left.
func (h *hand) told(n int) (ok bool) {
	if n <= 0 {
		return false
	}
	h.found += n
	h.batch.fill(h.asked[:n])
	if n > 1 && h.loop.isAlone() {
		ring(h.loop.nudge) // the last fell asleep meanwhile
	}
	return h.take()
}

// take takes the next that the kernel has told this hand of, or any.
func (h *hand) take() (ok bool) {
	h.next, ok = h.batch.take()
	for i := 0; !ok && i < len(h.loop.hands); i++ {
		h.next, ok = h.loop.hands[i].batch.take()
	}
	return ok
}

// tell gives a source its turn, unless it is gone.
func (h *hand) tell(s *slot, events Events) {
	source := s.source
	if !s.gone.Load() && source.Ready(events) && s.again.CompareAndSwap(false, true) {
		h.again = append(h.again, s)
	}
}

func eventsOf(bits uint32) (events Events) {
	if bits&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Readable
	}
	if bits&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Writable
	}
	if bits&(unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		events |= Ending
	}
	return events
}

// slot is where a source is found. A socket that is added gets a new one.
type slot struct {
	source Source
	token  Token
	gone   atomic.Bool
	again  atomic.Bool // it is among those that a hand gives another turn
}

// Token names a socket of a loop.
type Token struct{ at, number int32 }

// wakeToken and nudgeToken are what the kernel says of the eventfds. No source has them.
func wakeToken() Token  { return Token{at: -1, number: -1} }
func nudgeToken() Token { return Token{at: -2, number: -2} }

// slots are where the sources of a loop are found, by hands that take no lock.
type slots struct {
	all    atomic.Pointer[[]atomic.Pointer[slot]] // grows by being replaced
	used   int32
	unused []int32
	number int32 // of the last, so that old news is not taken for its successor's
}

// take gives a source a slot. One at a time may call it, or free.
func (s *slots) take(source Source) Token {
	var at int32
	if last := len(s.unused) - 1; last >= 0 {
		at, s.unused = s.unused[last], s.unused[:last]
	} else {
		at = s.used
		s.used++
		s.grow()
	}
	s.number++
	token := Token{at, s.number}
	(*s.all.Load())[at].Store(&slot{source: source, token: token})
	return token
}

// grow makes room for those that are used.
func (s *slots) grow() {
	var old []atomic.Pointer[slot]
	if all := s.all.Load(); all != nil {
		old = *all
	}
	if int(s.used) <= len(old) {
		return
	}
	grown := make([]atomic.Pointer[slot], max(64, 2*len(old)))
	for i := range old {
		grown[i].Store(old[i].Load())
	}
	s.all.Store(&grown)
}

func (s *slots) free(token Token) {
	at := &(*s.all.Load())[token.at]
	at.Load().gone.Store(true)
	at.Store(nil)
	s.unused = append(s.unused, token.at)
}

// find returns the slot of a socket, or nil if that was removed.
func (s *slots) find(token Token) *slot {
	found := (*s.all.Load())[token.at].Load()
	if found == nil || found.token != token {
		return nil
	}
	return found
}
