package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Times of the loop.
const (
	sweepAgainMin = 5 * time.Millisecond // what was killed is looked for again after this, then twice this...
	sweepAgainMax = time.Second
	outputGrace   = time.Second     // for output to end after the last process that could write it
	heirPatience  = 2 * time.Second // for programs to be reached before a handover
	restAfter     = 2 * time.Second // memory is given back so long after some work
)

// server is the state of a supervisor. Its loop, run, owns all of it but the
// channels; the goroutines that it started speak to it through those.
type server struct {
	cfg      Config
	home     *home
	listener *net.UnixListener
	journal  *journal
	buffers  *sync.Pool
	first    bool        // the thread that forks is the first one
	paused   atomic.Bool // pumps stop as they are

	tasks    map[Key]*task
	mains    map[int]*task // those that run, by number, until reaped
	ending   map[Key]*task // those that are ending
	strays   map[int]Key   // adopted children whose owner is known
	reaching int           // starts whose programs are being reached
	waiting  []Start       // for the thread that forks
	inFlight bool          // a fork is under way

	sessions map[*session]bool
	newest   *session
	closing  bool            // told to shut down
	heir     *call           // the request to hand all over to another binary
	heirBy   time.Time       // it is refused then, if a program cannot be reached
	parents  map[string]bool // of cgroups that tasks were in

	sweepAt    time.Time // zero: nothing is looked for again
	sweepPause time.Duration
	restAt     time.Time // zero: it rests

	working  sync.WaitGroup
	joined   chan *session
	left     chan *session
	calls    chan call
	reached  chan Start
	jobs     chan func() // for the thread that forks
	outcomes chan forked
	quiet    chan silence
	over     chan struct{} // closed when the loop has ended
}

// silence says that nobody reads a stream any more.
type silence struct {
	key    Key
	stream int    // 0 or 1
	rest   []byte // of a line
	goesOn bool   // its pipe is open
}

func newServer(cfg Config, at *home, listener *net.UnixListener, book *journal) *server {
	s := &server{
		cfg:      cfg,
		home:     at,
		listener: listener,
		journal:  book,
		first:    unix.Gettid() == unix.Getpid(),
		buffers:  newBuffers(),
		tasks:    make(map[Key]*task),
		mains:    make(map[int]*task),
		ending:   make(map[Key]*task),
		strays:   make(map[int]Key),
		sessions: make(map[*session]bool),
		parents:  make(map[string]bool),
		joined:   make(chan *session),
		left:     make(chan *session),
		calls:    make(chan call),
		reached:  make(chan Start),
		jobs:     make(chan func()),
		outcomes: make(chan forked),
		quiet:    make(chan silence),
		over:     make(chan struct{}),
	}
	for key, ended := range book.exits {
		s.tasks[key] = &task{key: key, phase: done, begun: book.live[key].At, exit: ended}
	}
	return s
}

// run serves until it was told to end and no task is alive. All that it started
// has ended when it returns. The calling thread forks.
func (s *server) run(ctx context.Context) {
	children := make(chan os.Signal, 1) // one stands for all that ended
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	defer s.working.Wait()
	defer func() { _ = s.listener.Close() }() // nobody is left to tell
	s.working.Go(s.accept)
	s.working.Go(func() {
		defer close(s.jobs)
		defer close(s.over)
		s.rest()
		s.reapAll() // children of before a handover
		s.loop(ctx, children)
	})
	work(s.jobs)
	removeParents(s.parents)
	s.cfg.Log.InfoContext(ctx, "supervisor ends: it was told to, and nothing runs")
}

func (s *server) loop(ctx context.Context, children <-chan os.Signal) {
	due := time.NewTimer(0)
	defer due.Stop()
	told := ctx.Done()
	for !s.closing || s.living() > 0 {
		if s.heir != nil && !s.inFlight && s.reaching == 0 && len(s.waiting) == 0 {
			s.handOver()
		}
		calls := s.calls
		if s.heir != nil {
			calls = nil // the heir will answer
		}
		jobs, next := s.nextStart()
		select {
		case <-told:
			s.closing, told = true, nil
		case session := <-s.joined:
			s.serve(session)
		case session := <-s.left:
			delete(s.sessions, session)
		case c := <-calls:
			s.answer(c)
		case start := <-s.reached:
			s.reaching--
			s.waiting = append(s.waiting, start)
		case jobs <- next:
			s.inFlight = true
			s.waiting[0] = Start{} // it may be big
			s.waiting = s.waiting[1:]
		case outcome := <-s.outcomes:
			s.begin(outcome)
		case stream := <-s.quiet:
			s.hush(stream)
			s.finishEnded()
		case <-children:
			s.reapAll()
		case <-s.alarm(due):
			s.act(time.Now())
			continue
		}
		if s.restAt.IsZero() {
			s.restAt = time.Now().Add(restAfter)
		}
	}
}

// approach has a start wait for the thread that forks when its program can be read.
func (s *server) approach(start Start) {
	s.reaching++
	s.working.Go(func() {
		reach(start.Path)
		s.reached <- start // the loop goes on while an attempt is alive
	})
}

// nextStart returns the next start as a job for the thread that forks; the
// channel is nil when there is none, or when that thread has one.
func (s *server) nextStart() (chan<- func(), func()) {
	if len(s.waiting) == 0 || s.inFlight {
		return nil, nil
	}
	start := s.waiting[0]
	return s.jobs, func() { s.outcomes <- fork(start) }
}

// alarm sets due to when the loop must act by itself, and returns its channel;
// nil when there is no such time.
func (s *server) alarm(due *time.Timer) <-chan time.Time {
	at := earlier(s.sweepAt, s.restAt)
	if s.heir != nil && s.reaching > 0 {
		at = earlier(at, s.heirBy)
	}
	for _, t := range s.mains {
		at = earlier(at, t.killAt)
	}
	if at = earlier(at, s.leaseAlarm(time.Now())); at.IsZero() {
		return nil
	}
	due.Reset(max(0, time.Until(at)))
	return due.C
}

// serve takes a connection in.
func (s *server) serve(session *session) {
	s.sessions[session] = true
	s.working.Go(func() { session.write(s.over) })
	s.working.Go(func() {
		session.read(s.calls, s.over)
		select {
		case s.left <- session:
		case <-s.over:
		}
	})
}

// accept hands new connections to the loop until the listener is closed.
func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			select {
			case <-s.over:
				return
			case <-time.After(100 * time.Millisecond): // out of files: some will be closed
				continue
			}
		}
		select {
		case s.joined <- newSession(conn):
		case <-s.over:
			_ = conn.Close() // it was never answered
			return
		}
	}
}

// living returns how many attempts may have processes.
func (s *server) living() int {
	n := 0
	for _, t := range s.tasks {
		if t.alive() {
			n++
		}
	}
	return n
}

// act does what is due.
func (s *server) act(now time.Time) {
	s.endLapsed(now)
	for _, t := range s.mains {
		if !t.killAt.IsZero() && !t.killAt.After(now) {
			t.killAt = time.Time{}
			t.kill()
		}
	}
	if !s.sweepAt.IsZero() && !s.sweepAt.After(now) {
		s.sweep()
	}
	if s.heir != nil && s.reaching > 0 && !s.heirBy.After(now) {
		s.refuseHeir(errors.New("a program that is to be started cannot be read"))
	}
	if !s.restAt.IsZero() && !s.restAt.After(now) {
		s.restAt = time.Time{}
		s.rest()
	}
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// begin takes in the outcome of a fork.
func (s *server) begin(outcome forked) {
	t := s.tasks[outcome.key]
	s.inFlight = false
	defer s.reapAll() // what ended meanwhile
	if outcome.err != nil {
		t.failed = outcome.err.Error()
		t.killed = true
	}
	if outcome.pid == 0 {
		s.ends(t)
		t.callback(reply{})
		return
	}
	t.phase, t.pid, t.streams = running, outcome.pid, outcome.streams
	s.mains[t.pid] = t
	s.listenTo(t)
	t.callback(reply{PID: t.pid})
	if outcome.ended != nil {
		s.endMain(t, *outcome.ended)
		return
	}
	if t.termed {
		t.term()
	}
	if t.killed {
		t.kill()
	}
}

// listenTo begins to copy the output of an attempt, or goes on.
func (s *server) listenTo(t *task) {
	for i, from := range t.streams {
		if from.pipe == nil {
			continue
		}
		t.pumping++
		s.working.Go(func() {
			rest, goesOn := pump(from, t.last, s.buffers, &s.paused)
			s.quiet <- silence{t.key, i, rest, goesOn}
		})
	}
}

// hush takes in that nobody reads a stream any more.
func (s *server) hush(of silence) {
	t := s.tasks[of.key]
	t.pumping--
	t.streams[of.stream].rest = of.rest
	if !of.goesOn {
		t.streams[of.stream] = stream{}
	}
}

// reapAll takes in every child that has ended. While a fork is under way nobody
// does: a program that is held before its first instruction answers to any wait,
// and the thread that forks would miss it.
func (s *server) reapAll() {
	if s.inFlight {
		return
	}
	for pid := ended(); pid != 0; pid = ended() {
		t := s.mains[pid]
		if t != nil {
			_ = t.signal(unix.SIGKILL, true) // while the group's number is still its own
		}
		status := reap(pid)
		delete(s.strays, pid)
		if t != nil {
			s.endMain(t, status)
		}
	}
	s.sweep()
}

// endMain takes in that the program of an attempt has ended.
func (s *server) endMain(t *task, status unix.WaitStatus) {
	delete(s.mains, t.pid)
	s.ends(t)
	t.status, t.killAt = status, time.Time{}
	s.sweepPause = 0
}

// ends takes in that no program of an attempt runs.
func (s *server) ends(t *task) {
	t.phase, t.endedAt = ending, time.Now()
	s.ending[t.key] = t
}

// report tells every client and the log how an attempt ended.
func (s *server) report(t *task) {
	t.phase, t.exit = done, t.outcome()
	delete(s.ending, t.key)
	if err := s.journal.exit(*t.exit); err != nil {
		s.cfg.Log.Warn("exit not recorded; it is lost if the supervisor is killed",
			slog.String("task", string(t.key.Task)), slog.Any("error", err))
	}
	if err := s.removeGroups(t); err != nil {
		s.cfg.Log.Warn("cgroup not removed", slog.String("task", string(t.key.Task)), slog.Any("error", err))
	}
	t.last, t.streams = nil, [2]stream{}
	for session := range s.sessions {
		session.send(reply{Exit: t.exit})
	}
}

// removeGroups removes the groups of an attempt, unless that is done. If it can, nothing
// was in them.
func (s *server) removeGroups(t *task) error {
	for _, dir := range t.cgroup.dirs() {
		s.parents[filepath.Dir(dir)] = true
	}
	err := removeGroups(t.cgroup)
	if err == nil {
		t.cgroup = Cgroup{}
	}
	return err
}
