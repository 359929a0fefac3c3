package poller_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/poller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// add has a loop tell a source of a descriptor.
func add(t fataler, l *poller.Loop, fd int, source poller.Source) poller.Token {
	t.Helper()
	token, err := l.Add(fd, source)
	if err != nil {
		t.Fatal("Add: ", err)
	}
	return token
}

// TestARestAfterManyIsLonger, and counts from then on.
func TestARestAfterManyIsLonger(t *testing.T) {
	t.Parallel()
	const rest, crowded = time.Second, time.Minute
	l := poller.NewResting(rest, crowded)
	for i, c := range []struct {
		told []int
		want time.Duration
	}{
		{nil, rest},
		{[]int{0}, rest},
		{[]int{8, 7}, rest},
		{[]int{8, 8}, crowded},
		{[]int{8, 7}, rest},
		{[]int{5, 0, 5, 5}, rest},
		{[]int{5, 5, 6}, crowded},
		{nil, rest},
	} {
		if got := l.RestAfter(c.told...); got != c.want {
			t.Errorf("case %d: after %v the rest is %v, want %v", i, c.told, got, c.want)
		}
	}
}

// within waits until a channel is closed.
func within(t fataler, done <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal(otherwise)
	}
}

// reader is a source that reads a few bytes of a pipe in each turn.
type reader struct {
	ends   [2]int // of the pipe
	atOnce int
	whole  chan struct{} // closed when the pipe is at its end, and the reader was told so

	mu      sync.Mutex // guards what is below
	got     []byte
	events  poller.Events
	ended   bool
	settled bool // it is closed
}

func newReader(t fataler, atOnce int) *reader {
	t.Helper()
	r := &reader{atOnce: atOnce, whole: make(chan struct{})}
	if err := unix.Pipe2(r.ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) Ready(events poller.Events) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return false // the test may be looking
	}
	r.events |= events
	defer r.settle()
	if r.ended {
		return false
	}
	piece := make([]byte, r.atOnce)
	n, err := unix.Read(r.ends[0], piece)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	if n > 0 {
		r.got = append(r.got, piece[:n]...)
		return true
	}
	r.ended = true
	return false
}

// settle closes whole, once. A reader may be at the end before it is told of that.
func (r *reader) settle() {
	if r.ended && r.events&poller.Ending != 0 && !r.settled {
		r.settled = true
		close(r.whole)
	}
}

// TestAllIsTold: whatever is written, in pieces of any size and by many at once, is read
// to its end by sources that are told of it once, and read a little in each turn.
func TestAllIsTold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := poller.New(rapid.IntRange(1, 3).Draw(t, "hands"), rapid.Bool().Draw(t, "threaded"))
		defer l.Close()
		var writing sync.WaitGroup
		var readers []*reader
		var texts [][]byte
		for range rapid.IntRange(1, 200).Draw(t, "sources") {
			r := newReader(t, rapid.IntRange(1, 50).Draw(t, "at once"))
			text := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "text")
			first := rapid.IntRange(0, len(text)).Draw(t, "first")
			readers, texts = append(readers, r), append(texts, text)
			write := func(piece []byte) {
				if _, err := unix.Write(r.ends[1], piece); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			write(text[:first]) // some of it is there before the loop is told of the pipe
			writing.Go(func() {
				write(text[first:])
				_ = unix.Close(r.ends[1])
			})
			add(t, l, r.ends[0], r)
		}
		writing.Wait()
		for i, r := range readers {
			within(t, r.whole, fmt.Sprintf("source %d is not told of its end", i))
			if !slices.Equal(r.got, texts[i]) || r.events&poller.Readable == 0 {
				t.Fatalf("source %d read %q of %q, by events %b", i, r.got, texts[i], r.events)
			}
			_ = unix.Close(r.ends[0])
		}
	})
}

// gate is a source that is ready, and keeps the hand that tells it so until it is let through.
type gate struct {
	reached, passed chan struct{}
	reach, let      sync.Once
	pipe            *reader // which it does not read
}

func newGate(t cleaner) *gate {
	t.Helper()
	g := &gate{reached: make(chan struct{}), passed: make(chan struct{}), pipe: newReader(t, 1)}
	t.Cleanup(func() { _, _ = unix.Close(g.pipe.ends[0]), unix.Close(g.pipe.ends[1]) })
	t.Cleanup(g.pass)
	if _, err := unix.Write(g.pipe.ends[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	return g
}

// pass lets the hand through.
func (g *gate) pass() { g.let.Do(func() { close(g.passed) }) }

func (g *gate) Ready(poller.Events) (again bool) {
	g.reach.Do(func() {
		close(g.reached)
		<-g.passed
	})
	return false
}

// TestNothingWaitsForAHandThatIsKept: while one hand does not come back, others tell what is
// ready.
func TestNothingWaitsForAHandThatIsKept(t *testing.T) {
	t.Parallel()
	for _, threaded := range []bool{false, true} {
		t.Run(fmt.Sprintf("threaded %t", threaded), func(t *testing.T) {
			t.Parallel()
			l := newLoop(t, 2, threaded)
			first, second := newGate(t), newGate(t)
			add(t, l, first.pipe.ends[0], first)
			within(t, first.reached, "the first is told nothing")

			add(t, l, second.pipe.ends[0], second)

			second.pass()
			within(t, second.reached, "the second waits for the hand that is kept by the first")
			first.pass()
		})
	}
}

// TestWhatAKeptHandWasToldIsTaken: a hand that is told of several sockets at once, and does not
// come back from the first, does not keep the others to itself.
func TestWhatAKeptHandWasToldIsTaken(t *testing.T) {
	t.Parallel()
	for _, threaded := range []bool{false, true} {
		t.Run(fmt.Sprintf("threaded %t", threaded), func(t *testing.T) {
			t.Parallel()
			l := newLoop(t, 2, threaded)
			keep := func() *gate {
				g := newGate(t)
				add(t, l, g.pipe.ends[0], g)
				return g
			}
			one := keep()
			within(t, one.reached, "the first hand is told nothing")
			two := keep()
			within(t, two.reached, "the second hand is told nothing")
			var many []*gate // both hands are kept while these come
			for range 3 {
				many = append(many, keep())
			}

			one.pass() // this hand is told of all, and kept by the first
			within(t, many[0].reached, "the hand does not come back")
			two.pass()

			within(t, many[1].reached, "what the first hand was told of waits for it")
			many[1].pass()
			within(t, many[2].reached, "what the first hand was told of waits for it")
			many[0].pass()
			many[2].pass()
		})
	}
}

// herd is sources that become ready at once, of which the first that is told keeps its hand.
type herd struct {
	gate *gate
	many int32
	told atomic.Int32
	all  chan struct{} // closed when as many were told
}

func (h *herd) Ready(events poller.Events) (again bool) {
	told := h.told.Add(1)
	if told == h.many {
		close(h.all)
	}
	return told == 1 && h.gate.Ready(events)
}

// does is a source that does something when it is told.
type does func()

func (d does) Ready(poller.Events) (again bool) {
	d()
	return false
}

// TestOneHandKeepsNothing: while a hand does something, many sources become ready at once, one of
// which does not let its hand go. All others are told, though the other hands be fast asleep.
func TestOneHandKeepsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		hands, threaded := rapid.IntRange(2, 4).Draw(rt, "hands"), rapid.Bool().Draw(rt, "threaded")
		h := &herd{gate: newGate(t), many: rapid.Int32Range(1, 3*poller.BatchMax).Draw(rt, "sources"), all: make(chan struct{})}
		l := poller.New(hands, threaded)
		defer l.Close()
		defer h.gate.pass()
		first, pipe := newReader(rt, 1), newReader(rt, 1)
		write := func(r *reader) { _, _ = unix.Write(r.ends[1], []byte("x")) } // else the test waits in vain
		defer func() {
			for _, fd := range append(first.ends[:], pipe.ends[:]...) {
				_ = unix.Close(fd)
			}
		}()
		add(rt, l, first.ends[0], does(func() { write(pipe) }))
		for range h.many {
			fd, err := unix.FcntlInt(uintptr(pipe.ends[0]), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				rt.Fatal(err)
			}
			defer func() { _ = unix.Close(fd) }()
			add(rt, l, fd, h)
		}
		for until := time.Now().Add(patience); threaded && l.Asleep() < hands; runtime.Gosched() {
			if time.Now().After(until) {
				rt.Fatal("the hands do not fall asleep")
			}
		}

		write(first)

		within(rt, h.all, "some wait for the hand that is kept")
	})
}

// usurper removes the other, if that is still there, and puts a third in its place.
type usurper struct {
	loop         *poller.Loop
	token        poller.Token
	at           *gate
	other, third *usurper
	told         int
}

func (u *usurper) Ready(poller.Events) (again bool) {
	if u.told++; u.told > 1 || u.other == nil || u.other.told > 0 {
		return false
	}
	u.loop.Remove(u.other.at.pipe.ends[0], u.other.token)
	u.third.token, _ = u.loop.Add(u.third.at.pipe.ends[0], u.third)
	return false
}

// TestOldNewsIsNotTold: of two sources of which a hand is told at once the first removes the
// second. That one is told nothing any more, and a third in its place of its own socket.
func TestOldNewsIsNotTold(t *testing.T) {
	t.Parallel()
	l := newLoop(t, 1, false)
	third := &usurper{loop: l, at: newGate(t)}
	one := &usurper{loop: l, at: newGate(t), third: third}
	two := &usurper{loop: l, at: newGate(t), third: third, other: one}
	one.other = two
	before, after := newGate(t), newGate(t)
	add(t, l, before.pipe.ends[0], before)
	within(t, before.reached, "the hand is told nothing")
	for _, u := range []*usurper{one, two} {
		u.token = add(t, l, u.at.pipe.ends[0], u)
	}

	before.pass() // now it is told of both

	add(t, l, after.pipe.ends[0], after)
	within(t, after.reached, "the hand does not come back")
	if one.told+two.told != 1 {
		t.Errorf("told were %d and %d, want one of them alone", one.told, two.told)
	}
	after.pass()
	last := newGate(t)
	add(t, l, last.pipe.ends[0], last)
	within(t, last.reached, "the hand does not come back")
	if third.told != 1 {
		t.Errorf("the third was told %d times, want once, of its own socket", third.told)
	}
	last.pass()
}

// TestAClosedLoopTakesNothing: not even if it had nothing before.
func TestAClosedLoopTakesNothing(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{false, true} {
		l, g := poller.New(2, used), newGate(t)
		if used {
			g.pass()
			l.Remove(g.pipe.ends[0], add(t, l, g.pipe.ends[0], g))
		}

		l.Close()

		if _, err := l.Add(g.pipe.ends[0], g); !errors.Is(err, net.ErrClosed) || l.Start() {
			t.Errorf("Add = %v, Start = %t", err, l.Start())
		}
		l.Close()
	}
}
