package router

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

const (
	redialMin = 50 * time.Millisecond
	redialMax = time.Second
	// goodbyeWithin is how long a router that stops waits for its goodbye to be heard.
	goodbyeWithin = 2 * time.Second
)

// session is one conversation with the masters.
type session struct {
	outbox chan route.Confirmation // holds only the newest; written by Run, and closed to say goodbye
	ended  chan struct{}           // closed when the conversation is over
	begun  bool                    // a table of it has been applied; owned by Run
}

// arrival is a table and the session that brought it.
type arrival struct {
	session *session
	table   route.Table
}

// follow holds a session with the masters, one after the other, until ctx is
// done. The pause before the next grows until a session has brought a table.
func (r *Router) follow(ctx context.Context) {
	pause := redialMin
	first := sync.OnceFunc(func() { close(r.asked) })
	for ctx.Err() == nil {
		s := &session{outbox: make(chan route.Confirmation, 1), ended: make(chan struct{})}
		if !hand(ctx, r.sessions, s) {
			return
		}
		brought := false
		err := r.master.Follow(ctx, s.outbox, func(table route.Table) {
			brought = hand(ctx, r.arrivals, arrival{s, table}) || brought
		})
		close(s.ended)
		first()
		r.attended.Store(false)
		if ctx.Err() != nil || err == nil {
			return
		}
		if brought {
			pause = redialMin
		}
		wait := pause/2 + rand.N(pause)
		r.cfg.Log.WarnContext(ctx, "session with the masters ended; serving on with the last table",
			slog.Duration("retry_in", wait), slog.Any("error", err))
		rest(ctx, wait)
		pause = min(2*pause, redialMax)
	}
}

// sayGoodbye tells the masters, in the session that is open, that nothing is in
// flight any more. It is the last thing that Run does in a session.
func (r *Router) sayGoodbye(ctx context.Context) {
	if r.session == nil {
		return
	}
	close(r.session.outbox)
	late := time.NewTimer(goodbyeWithin)
	defer late.Stop()
	for {
		select {
		case <-r.session.ended:
			return
		case <-r.arrivals: // the session must not wait for it to be applied
		case <-late.C:
			r.cfg.Log.WarnContext(ctx, "goodbye not heard; drains wait until the masters have forgotten this router")
			return
		}
	}
}

// hand gives value to the loop, and reports whether it was taken.
func hand[T any](ctx context.Context, loop chan<- T, value T) bool {
	select {
	case loop <- value:
		return true
	case <-ctx.Done():
		return false
	}
}

// rest passes a while, and reports whether ctx is still alive then.
func rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// confirm tells the masters which table is applied and what still runs beside it.
func (r *Router) confirm() {
	table := r.table.Load()
	named := make(map[id.Task]bool)
	for e := range table.endpoints() {
		named[e.Task] = true
	}
	busy := make(map[id.Task]int)
	r.leaving = slices.DeleteFunc(r.leaving, func(e *endpoint) bool {
		n := e.inFlight.Load()
		if n > 0 && !named[e.Task] {
			busy[e.Task] += int(n)
		}
		return n == 0
	})
	departed := slices.Clone(r.leaving)
	r.departed.Store(&departed)
	if r.session == nil {
		return
	}
	said := route.Confirmation{Router: r.cfg.ID, Version: table.version, Closed: r.closedPorts()}
	for task, n := range busy {
		said.Busy = append(said.Busy, route.Busy{Task: task, Requests: n})
	}
	slices.SortFunc(said.Busy, func(a, b route.Busy) int { return cmp.Compare(a.Task, b.Task) })
	replace(r.session.outbox, said)
}
