package poller_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/router/poller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func newLoop(t fataler) *poller.Loop {
	t.Helper()
	l, err := poller.New()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// do has the loop call a function, and returns when it has.
func do(t fataler, l *poller.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Do(func() { defer close(done); f() }) {
		t.Fatal("the loop is closed")
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the loop does not do what it is asked for")
	}
}

// reader is a source that reads a few bytes of a pipe in each turn.
type reader struct {
	ends   [2]int // of the pipe
	atOnce int
	got    []byte
	events poller.Events
	ended  bool
	whole  chan struct{} // closed when the pipe is at its end
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
	if r.ended {
		return false
	}
	r.events |= events
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
	close(r.whole)
	return false
}

// TestAllIsTold: whatever is written, in pieces of any size and by many at once, is read
// to its end by sources that are told of it once, and read a little in each turn.
func TestAllIsTold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLoop(t)
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
			do(t, l, func() {
				if _, err := l.Add(r.ends[0], r); err != nil {
					t.Errorf("Add: %v", err)
				}
			})
		}
		writing.Wait()
		for i, r := range readers {
			select {
			case <-r.whole:
			case <-time.After(patience):
				t.Fatalf("source %d was told of %d bytes of %d", i, len(r.got), len(texts[i]))
			}
			if !slices.Equal(r.got, texts[i]) || r.events&poller.Readable == 0 || r.events&poller.Ending == 0 {
				t.Fatalf("source %d read %q of %q, by events %b", i, r.got, texts[i], r.events)
			}
			_ = unix.Close(r.ends[0])
		}
	})
}

// usurper removes the other, if that is still there, and puts a third in its place.
type usurper struct {
	loop         *poller.Loop
	token        poller.Token
	at           *reader
	other, third *usurper
	told         int
}

func (u *usurper) Ready(poller.Events) (again bool) {
	if u.told++; u.told > 1 || u.other == nil || u.other.told > 0 {
		return false
	}
	u.loop.Remove(u.other.at.ends[0], u.other.token)
	u.third.token, _ = u.loop.Add(u.third.at.ends[0], u.third)
	return false
}

// TestOldNewsIsNotTold: of two sources that are ready at once the first removes the second.
// Neither that one is told anything any more, nor a third in its place.
func TestOldNewsIsNotTold(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	defer l.Close()
	third := &usurper{loop: l, at: newReader(t, 1)}
	one := &usurper{loop: l, at: newReader(t, 1), third: third}
	two := &usurper{loop: l, at: newReader(t, 1), third: third, other: one}
	one.other = two
	for _, u := range []*usurper{one, two, third} {
		defer func() { _, _ = unix.Close(u.at.ends[0]), unix.Close(u.at.ends[1]) }()
	}
	for _, u := range []*usurper{one, two} {
		if _, err := unix.Write(u.at.ends[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	do(t, l, func() {
		for _, u := range []*usurper{one, two} {
			token, err := l.Add(u.at.ends[0], u)
			if err != nil {
				t.Errorf("Add: %v", err)
			}
			u.token = token
		}
	})
	do(t, l, func() {}) // what was ready with them has been told

	do(t, l, func() {
		if one.told+two.told != 1 || third.told != 0 {
			t.Errorf("told were %d, %d and %d, want one of the first two alone", one.told, two.told, third.told)
		}
	})
	if _, err := unix.Write(third.at.ends[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	late := time.After(patience)
	for told := 0; told == 0; do(t, l, func() { told = third.told }) {
		select {
		case <-late:
			t.Fatal("the third is told nothing of its own")
		default:
		}
	}
}

// TestWhatALoopIsAskedFor: all of it is done, in order and one after the other, and
// nothing when the loop has ended.
func TestWhatALoopIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLoop(t)
	const callers, each = 8, 500
	done := make([][]int, callers) // only the loop writes
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			for n := range each {
				if !l.Do(func() { done[i] = append(done[i], n) }) {
					t.Error("it refuses")
				}
			}
		})
	}
	calling.Wait()

	l.Close()

	for i, numbers := range done {
		if len(numbers) != each || !slices.IsSorted(numbers) {
			t.Errorf("of caller %d %d were done, in the order %v", i, len(numbers), numbers)
		}
	}
	if l.Do(func() { t.Error("it is done by a loop that has ended") }) {
		t.Error("a loop that has ended takes more")
	}
}
