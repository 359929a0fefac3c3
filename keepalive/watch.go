package keepalive

import (
	"context"
	"net"
	"time"

	"github.com/aloft-run/aloft/poller"
	"github.com/aloft-run/aloft/wheel"
)

// looks is how often, in the time after which this side asks, what could not be said is tried
// again, and lates the part of the time for an answer by which who attends comes too late to
// have been there meanwhile.
const looks, lates = 8, 4

// sparesMax is how often one after the other a side that has not read all that came does not judge.
const sparesMax = 4

// attend does what is due on a connection, and tells after how long something may be due
// again; 0 is never.
func (c *Conn) attend() (again time.Duration) {
	if c.closed.Load() {
		return 0
	}
	now := c.now()
	if silent := c.lookBack(now); silent {
		c.silent.Store(true)
		_ = c.Close()
		return 0
	}
	again = c.pace.AskAfter / looks
	if c.speakUp(now) {
		again = max(c.due()-now, time.Millisecond)
	}
	c.next = now + again
	return again
}

// lookBack decides whether to ask, and reports whether the other side is silent. Only who
// was there to hear finds that: where this side was halted, or its reader has no processor,
// what came meanwhile waits to be read, and it asks again first.
func (c *Conn) lookBack(now time.Duration) (silent bool) {
	heard, asked := time.Duration(c.heard.Load()), time.Duration(c.asked.Load())
	halted := c.next > 0 && now-c.next > c.pace.AnswerWithin/lates
	switch {
	case heard >= asked && now-heard < c.pace.AskAfter:
		c.asked.Store(0)
		c.unsaid.Store(false)
		return false
	case heard >= asked:
		c.spared = 0
	case halted:
	case now-asked < c.pace.AnswerWithin:
		return false
	case c.spared < sparesMax && c.HasUnread(): // its reader may wait for good, and so not for ever
		c.spared++
	default:
		return true
	}
	c.asked.Store(int64(now))
	c.unsaid.Store(true)
	return false
}

// speakUp asks or tells, where that is due, or reports that it has to wait for the end of
// something else.
func (c *Conn) speakUp(now time.Duration) bool {
	switch {
	case c.unsaid.Load():
		if c.say(asking()) {
			c.unsaid.Store(false)
		}
		return !c.unsaid.Load()
	case c.pace.TellAfter > 0 && now-time.Duration(c.said.Load()) >= c.pace.TellAfter:
		return c.say(telling())
	default:
		return true
	}
}

// due is when something is to be done, as time since the connection began. Who tells
// asks only when it would else tell.
func (c *Conn) due() time.Duration {
	tell, asked := time.Duration(c.said.Load())+c.pace.TellAfter, time.Duration(c.asked.Load())
	switch {
	case asked > 0 && c.pace.TellAfter > 0:
		return min(asked+c.pace.AnswerWithin, tell)
	case asked > 0:
		return asked + c.pace.AnswerWithin
	case c.pace.TellAfter > 0:
		return tell
	default:
		return time.Duration(c.heard.Load()) + c.pace.AskAfter
	}
}

// Dialed returns a client's connection. It attends to itself.
func Dialed(conn net.Conn, pace Pace) *Conn {
	c := newConn(conn, pace)
	c.start = func() { time.AfterFunc(pace.TellAfter, c.keepUp) }
	return c
}

// keepUp attends to the connection until that is closed.
func (c *Conn) keepUp() {
	if again := c.attend(); again > 0 {
		time.AfterFunc(again, c.keepUp)
	}
}

// ticks is how many there are in the time after which a side is asked, when one goroutine
// attends to many connections.
const ticks = 20

// restFor is how long the loop rests when it has seen all that there was, and crowdRestFor when
// that was much. What comes by a quiet connection may wait for so long; each time that the loop is
// woken costs as much as to look through several connections, and on virtual machines ten.
const (
	restFor      = 5 * time.Millisecond
	crowdRestFor = 15 * time.Millisecond
)

// Watch attends to a server's connections.
type Watch struct {
	pace  Pace
	wheel *wheel.Wheel[*Conn]
	loop  *poller.Loop
}

// NewWatch returns one that Run sets to work.
func NewWatch(pace Pace) *Watch {
	return &Watch{pace: pace, wheel: wheel.New(pace.AskAfter/ticks, (*Conn).attend), loop: poller.NewResting(restFor, crowdRestFor)}
}

// Accepted returns a server's connection. Pings that come by it are answered here, and
// not shown to the reader.
func (w *Watch) Accepted(conn net.Conn) *Conn {
	c := newConn(conn, w.pace)
	c.ears, c.out = &ears{conn: c, loop: w.loop}, frames{preface: len(preface)}
	c.start = func() { w.wheel.Add(c, w.pace.AskAfter) }
	return c
}

// Run attends to the connections until ctx is done. Those that the loop has are of no use
// any more after that.
func (w *Watch) Run(ctx context.Context) {
	defer w.loop.Close()
	w.wheel.Run(ctx)
}
