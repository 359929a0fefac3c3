package master

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/keepalive"
)

// StateOf returns how a service of these records is summed up, when it waits for
// that.
func StateOf(waiting string, service *engine.Service, records ...engine.Record) (state, reason string) {
	v := newView(Config{}, append(records, service), 1)
	return v.look(service, waiting).state()
}

// Written returns the tasks of these records whose output a name means.
func Written(name string, records ...engine.Record) []id.Task {
	var names []id.Task
	for _, t := range newView(Config{}, records, 1).written(name) {
		names = append(names, t.ID)
	}
	return names
}

// AskWhatPanics asks the loop a question that has a bug.
func (m *Master) AskWhatPanics(ctx context.Context) error {
	r, err := m.current()
	if err != nil {
		return err
	}
	_, err = ask(ctx, r, func(*engine.Engine) (int, error) { panic("a bug") })
	return err
}

// Submit has the loop fold in an event.
func (m *Master) Submit(ctx context.Context, event engine.Event) (engine.Answer, error) {
	return m.submit(ctx, event)
}

// WordsMax is how many words of agents one commit carries.
const WordsMax = wordsMax

// Hear has the loop fold in an event as an agent's word.
func (m *Master) Hear(ctx context.Context, event engine.Event) error {
	r, err := m.current()
	if err != nil {
		return err
	}
	_, err = r.hear(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) { return e.Step(event, now) })
	return err
}

// PercentFor returns by how much a heap may grow of which so many bytes are alive, while
// more agents come than the door lets in or not.
func PercentFor(live uint64, rush bool) int { return percentFor(live, rush) }

// ComingMax is how many agents come in at one time, and RushLeast while the leader of a
// small cluster is new.
const ComingMax, RushLeast = comingMax, rushLeast

// RushPlaces returns how many of so many agents come in at one time while the leader is new.
func RushPlaces(agents int) int { return rushPlaces(agents) }

// NewBounds returns the deadlines of a request, and what its handler calls last.
func NewBounds(w http.ResponseWriter, req *http.Request) (control interface {
	SetReadDeadline(at time.Time) error
	SetWriteDeadline(at time.Time) error
}, done func(),
) {
	return newBounds(w, req)
}

// View is the published state.
type View struct{ v *view }

// ViewOf returns the published state of records.
func ViewOf(records ...engine.Record) View {
	return View{newView(Config{}.withDefaults(), records, 1)}
}

// Publish publishes records.
func (v View) Publish(records ...engine.Record) {
	changes := engine.Changes{}
	for _, record := range records {
		changes.Records = append(changes.Records, engine.Change{Key: record.Key(), Record: record})
	}
	v.v.apply(v.v.at()+1, changes)
}

// ReadAll reads what a watch of everything is told first.
func (v View) ReadAll(ctx context.Context) error {
	w := watch{view: v.v, pace: newPace(), send: func(watchMessage) error { return nil }}
	return w.snapshot(ctx)
}

// PageBytesMax is about how many bytes a page of tasks has at most.
const PageBytesMax = pageBytesMax

// EncodeTasks returns the bytes of the answer with a page of tasks.
func EncodeTasks(page []*engine.Task, next string) ([]byte, error) {
	answer, err := encodeTasks(page, next)
	if err != nil {
		return nil, err
	}
	return binary{}.MarshalAppend(nil, answer)
}

// TokenAfter returns the token of the page that goes on after a name.
func TokenAfter(name string) string { return tokenAfter(name) }

// Crew is the sessions that may be at work at one time.
type Crew struct{ c crew }

// NewCrew returns the one of a machine with so many processors.
func NewCrew(processors int) Crew { return Crew{newCrew(processors)} }

// Shift is the work of a session.
type Shift struct{ s *shift }

// Shift returns the work of a session whose agent is awaited or not.
func (c Crew) Shift(awaited bool) Shift {
	link := &agentLink{}
	if awaited {
		link.awaits.Store(math.MaxInt64)
	}
	return Shift{&shift{crew: c.c, link: link}}
}

// Do does what waits for nobody.
func (s Shift) Do(work func()) { s.s.do(work) }

// Voice says what a session has to say.
type Voice struct{ v voice }

// Open lets it speak.
func (v *Voice) Open(say func() error, failed func(error)) { v.v.open(say, failed) }

// Wake has it say what there is.
func (v *Voice) Wake() { v.v.wake() }

// Close has it say no more.
func (v *Voice) Close() { v.v.close() }

// Apart does work on a stack of its own.
func Apart(work func() error) error { return apart(work) }

// Listener is a session that reads, in the end until Stop.
type Listener struct {
	ears
	Stop func()
}

// Heard is when the agent was heard last.
func (l *Listener) Heard() time.Time { return l.of.shift.link.lastHeard() }

// Listen returns a session that reads what an agent says, and how often it was cut off
// because nothing came for so long.
func (c Crew) Listen(agent io.ReadCloser, silentAfter time.Duration) (l *Listener, cut *atomic.Int64) {
	control := &cutting{}
	vigils := newVigils(silentAfter)
	running, end := context.WithCancel(context.Background())
	go vigils.Run(running)
	v := vigils.begin(line{control: control}, silentAfter)
	of := &listening{*c.Shift(false).s, v}
	of.work()
	return &Listener{ears{agent, of}, func() {
		of.shift.end()
		v.stop()
		end()
	}}, &control.cut
}

// Attending returns a server's connection, what looks after a session by it, and tells when it is
// to look again, and how often the session was cut off because nothing was heard for so long.
func Attending(near net.Conn, silentAfter time.Duration) (server net.Conn, look func() (again time.Duration), cut *atomic.Int64) {
	control := &cutting{}
	accepted := keepalive.NewWatch(keepalive.Pace{AskAfter: time.Hour, AnswerWithin: time.Hour}).Accepted(near)
	v := newVigils(silentAfter).begin(line{control: control, conn: &conn{Conn: accepted}}, silentAfter)
	return accepted, v.look, &control.cut
}

// cutting counts how often reads are failed.
type cutting struct{ cut atomic.Int64 }

func (c *cutting) SetReadDeadline(at time.Time) error {
	if !at.IsZero() {
		c.cut.Add(1)
	}
	return nil
}

func (*cutting) SetWriteDeadline(time.Time) error { return nil }

// WordsBeforeAwaited returns how many words of so many that wait are folded in before one
// that is awaited.
func WordsBeforeAwaited(others int) int {
	r := &reign{requests: make(chan request), words: make(chan request), awaited: make(chan request)}
	over, stop := context.WithCancel(context.Background())
	defer stop()
	wait := func(to chan request, word request) {
		select {
		case to <- word:
		case <-over.Done():
		}
	}
	for range others {
		go wait(r.words, request{word: true})
	}
	synctest.Wait()
	go wait(r.awaited, request{word: true, api: true})
	synctest.Wait()
	var in gathered
	in.gather(r, <-r.words)
	return slices.IndexFunc(in.calls, func(c call) bool { return c.api })
}

// IsAwaited reports whether an agent's word is awaited.
func (m *Master) IsAwaited(agent id.Agent) bool {
	r, err := m.current()
	return err == nil && r.hub.link(agent).isAwaited()
}

// TakeAllPlaces has no session of an agent work until release is called.
func (m *Master) TakeAllPlaces() (release func()) {
	r, err := m.current()
	if err != nil {
		return func() {}
	}
	for range cap(r.crew.others) {
		r.crew.others <- struct{}{}
	}
	return func() {
		for range cap(r.crew.others) {
			<-r.crew.others
		}
	}
}

// IsHere reports whether an agent has joined, and has its session still.
func (m *Master) IsHere(agent id.Agent) bool {
	r, err := m.current()
	return err == nil && r.hub.link(agent) != nil
}
