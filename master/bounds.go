package master

import (
	"net/http"
	"sync"
	"time"
)

// bounds are the deadlines of a stream of HTTP/2. Each that net/http is given costs a
// message to the goroutine that serves the connection, and the wait for it: where thousands
// of streams begin at once, that is the longest part of a call. So timers of our own wait,
// and net/http is given a deadline when it is over. It takes one that has passed at once.
type bounds struct {
	control deadlines

	mu          sync.Mutex // guards all below, and held while control is used
	read, write bound
	ended       bool // the handler has returned: control is not used any more
}

// bound is one of both.
type bound struct {
	timer *time.Timer // nil when nothing is waited for
	set   int         // how often it was
}

// newBounds returns the deadlines of a request, of whatever protocol, and what its handler
// calls last.
func newBounds(w http.ResponseWriter, req *http.Request) (control deadlines, done func()) {
	control = http.NewResponseController(w)
	if req.ProtoMajor < 2 {
		return control, func() {}
	}
	b := &bounds{control: control}
	return b, b.end
}

// SetReadDeadline bounds how long reads of the body wait.
func (b *bounds) SetReadDeadline(at time.Time) error {
	return b.within(&b.read, at, b.control.SetReadDeadline)
}

// SetWriteDeadline bounds how long writes of the answer wait.
func (b *bounds) SetWriteDeadline(at time.Time) error {
	return b.within(&b.write, at, b.control.SetWriteDeadline)
}

func (b *bounds) within(it *bound, at time.Time, set func(time.Time) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil
	}
	it.stop()
	it.set++
	switch left := time.Until(at); {
	case at.IsZero():
		return nil
	case left <= 0:
		return set(at)
	default:
		number := it.set
		it.timer = time.AfterFunc(left, func() { b.expire(it, number, set) })
		return nil
	}
}

// expire fails what waits, unless another deadline was set meanwhile.
func (b *bounds) expire(it *bound, number int, set func(time.Time) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && it.set == number {
		_ = set(time.Unix(1, 0)) // what waits has the error
	}
}

// end returns when control is used no more.
func (b *bounds) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.read.stop()
	b.write.stop()
}

func (t *bound) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}
