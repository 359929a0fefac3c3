package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// failer is what a test or a rapid check tells of a broken law.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world plays the master's loop, the store, agents and routers on virtual time.
type world struct {
	failer
	engine   *engine.Engine
	epoch    uint64
	now      time.Time
	durable  map[engine.Key]engine.Record
	handed   map[engine.Record]string // every record, as it was when it was handed out
	machines map[id.Agent]*machine
	routers  map[id.Router]*router
	astray   map[id.Router]*router // behind a cut, with the table that they had
	patience time.Duration         // of a new leader with routers; default 50 ms
	slow     time.Duration         // what the store takes for a commit
	used     map[id.Task]time.Time // every task there ever was, and when it was created
	story    strings.Builder
	claims   map[id.Service]int // at the last look
	returned map[id.Service]int // tasks that were given up and came back since

	leadEach time.Duration // a new leader comes that often; zero for never
	ledAt    time.Time
	change   change // when the leader changes, once
	commits  int
	notes    []engine.Note
}

func newWorld(f failer) *world {
	w := &world{
		failer: f, now: noon, durable: make(map[engine.Key]engine.Record), handed: make(map[engine.Record]string),
		machines: make(map[id.Agent]*machine), routers: make(map[id.Router]*router), astray: make(map[id.Router]*router), used: make(map[id.Task]time.Time),
		claims: make(map[id.Service]int), returned: make(map[id.Service]int),
	}
	w.lead()
	return w
}

// lead has a new leader load what is durable. Agents and routers come to it.
func (w *world) lead() {
	w.Helper()
	w.epoch++
	w.ledAt = w.now
	rested := w.engine != nil && (w.engine.AskAgain().IsZero() || w.engine.AskAgain().After(w.now))
	w.engine = engine.New(engine.Config{Epoch: w.epoch, EndedMax: 5, RouterReturn: max(w.patience, 50*time.Millisecond)})
	if err := w.engine.Load(maps.Values(w.durable)); err != nil {
		w.Fatalf("load: %v", err)
	}
	w.checkDurable()
	changes := w.engine.Take(w.now)
	for _, c := range changes.Records {
		if rested && !sameButReason(w.durable[c.Key], c.Record) {
			w.Fatalf("a new leader changes what the one before had settled: %v of %v %s\n%s",
				c.Key, changes, cmp.Diff(w.durable[c.Key], c.Record, cmpOptions()...), w.story.String())
		}
	}
	w.publish(changes)
	for _, name := range slices.Sorted(maps.Keys(w.machines)) {
		if m := w.machines[name]; m.connected {
			w.join(m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.routers)) {
		w.step(engine.RouterConfirmed{Confirmation: route.Confirmation{Router: name}})
	}
	w.commit()
}

// ask steps the engine through an operator's event and tells the story.
func (w *world) ask(event engine.Event) engine.Answer {
	w.Helper()
	answer, err := w.try(event)
	if err != nil {
		w.Fatalf("%T: %v", event, err)
	}
	return answer
}

// try is ask for what may be refused.
func (w *world) try(event engine.Event) (engine.Answer, error) {
	w.Helper()
	answer, err := w.engine.Step(event, w.now)
	if w.commit() {
		answer, err = w.engine.Step(event, w.now) // nobody answered: it is asked again
		w.commit()
	}
	return answer, err
}

// step steps the engine through what an agent or router tells.
func (w *world) step(event engine.Event) {
	w.Helper()
	if _, err := w.engine.Step(event, w.now); err != nil {
		w.Fatalf("%T: %v", event, err)
	}
}

// commit takes the changes, makes them durable, and publishes them. It reports
// whether they were lost instead, because the leader changed.
func (w *world) commit() (lost bool) {
	w.Helper()
	changes := w.engine.Take(w.now)
	if !changes.Empty() {
		w.commits++
	}
	turn := !changes.Empty() && w.commits == w.change.at
	switch {
	case turn && w.change.lost:
		w.engine = nil // with all that it had not made durable
		w.lead()
	case turn:
		w.publish(changes)
		w.lead()
	default:
		w.publish(changes)
	}
	return turn && w.change.lost
}

// publish makes changes durable and tells agents and routers.
func (w *world) publish(changes engine.Changes) {
	w.Helper()
	changed := make(map[engine.Key]bool)
	for _, c := range changes.Records {
		if changed[c.Key] {
			w.Fatalf("%v is there twice among what changed", c.Key)
		}
		changed[c.Key] = true
		w.watch(c)
		w.keep(c)
	}
	for _, n := range changes.Notes {
		w.tell(n)
		w.notes = append(w.notes, n)
	}
	w.check()
	if changes.Table != nil {
		for _, r := range w.routers {
			r.receive(w, changes.Table)
		}
	}
	w.engine.Published(changes.Batch, w.now.Add(w.slow))
	for _, name := range changes.Agents {
		w.order(name)
	}
	for _, f := range changes.Forget {
		if m := w.machines[f.Agent]; m != nil && m.heard(w) {
			delete(m.tasks, f.Task)
		}
	}
	if at := w.engine.AskAgain(); !at.IsZero() && !at.After(w.now) {
		w.Fatalf("the engine has not come to rest: it asks again at %v, it is %v", at, w.now)
	}
}

func (w *world) keep(c engine.Change) {
	w.Helper()
	if c.Record == nil {
		w.forget(c.Key)
		return
	}
	w.durable[c.Key] = c.Record
	w.handed[c.Record] = fmt.Sprintf("%+v", c.Record)
	if t, ok := c.Record.(*engine.Task); ok {
		if created, seen := w.used[t.ID]; seen && !created.Equal(t.CreatedAt) {
			w.Fatalf("task %s is used again", t.ID)
		}
		w.used[t.ID] = t.CreatedAt
	}
}

// forget drops a record. No agent may still have a task of a service that is
// forgotten; the names of its tasks stay used.
func (w *world) forget(key engine.Key) {
	w.Helper()
	delete(w.durable, key)
	if key.Kind != engine.ServiceKind {
		return
	}
	for _, m := range w.machines {
		for name, p := range m.tasks {
			if strings.HasPrefix(string(name), key.ID+"-") && !p.status.State.Ended() {
				w.Fatalf("service %s is forgotten, and %s has %s\n%s", key.ID, m.agent.ID, name, w.story.String())
			}
		}
	}
}

func (w *world) tell(n engine.Note) {
	w.Helper()
	if !slices.Contains(engine.NoteKinds(), n.Kind) || !n.At.Equal(w.now) {
		w.Fatalf("a note of no kind, or of another time: %+v", n)
	}
	what := make([]string, 0, 4)
	for _, name := range []string{string(n.Service), string(n.Deployment), string(n.Task), string(n.Agent), string(n.Pool)} {
		if name != "" {
			what = append(what, name)
		}
	}
	w.say("%s %s: %s", n.Kind, strings.Join(what, " "), n.Text)
}

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.story, "%8.3fs  %s\n", w.now.Sub(noon).Seconds(), fmt.Sprintf(format, args...))
}

// check holds the cluster to its laws.
func (w *world) check() {
	w.Helper()
	if err := w.engine.Check(); err != nil {
		w.Fatalf("laws: %v\n%s", err, w.story.String())
	}
	for s := range w.engine.Services() {
		w.checkClaims(s)
	}
	w.checkDurable()
}

// checkDurable compares what is durable with what the leader believes.
func (w *world) checkDurable() {
	w.Helper()
	n := 0
	for record := range w.engine.Records() {
		n++
		if w.durable[record.Key()] != record && !sameButClosed(w.durable[record.Key()], record) {
			w.Fatalf("%v is not durable: %s", record.Key(), cmp.Diff(w.durable[record.Key()], record, cmpOptions()...))
		}
	}
	if n != len(w.durable) {
		w.Fatalf("%d records are durable, the leader knows %d", len(w.durable), n)
	}
}

// sameButClosed reports whether two records of an agent differ at most in what
// each leader finds out for itself.
func sameButClosed(a, b engine.Record) bool {
	was, isAgent := a.(*engine.Agent)
	is, _ := b.(*engine.Agent)
	if !isAgent || is == nil {
		return false
	}
	copied := *was
	copied.Closed = is.Closed
	return cmp.Equal(&copied, is, cmpOptions()...)
}

// sameButReason reports whether two records differ at most in why a task waits:
// the leader before may have held the newest reason back.
func sameButReason(a, b engine.Record) bool {
	was, isTask := a.(*engine.Task)
	is, _ := b.(*engine.Task)
	if !isTask || is == nil {
		return false
	}
	copied := *was
	copied.Status.Reason = is.Status.Reason
	return cmp.Equal(&copied, is, cmpOptions()...)
}

func cmpOptions() []cmp.Option {
	return []cmp.Option{cmp.Comparer(func(a, b resource.Quantity) bool { return a.Equal(b) }), cmp.AllowUnexported(resource.Vector{})}
}

// checkHanded verifies that no record was changed after it was handed out.
func (w *world) checkHanded() {
	w.Helper()
	for record, was := range w.handed {
		if is := fmt.Sprintf("%+v", record); is != was {
			w.Fatalf("%v was changed after it was handed out:\n%s\nwas\n%s", record.Key(), is, was)
		}
	}
}

// pass lets time pass. Whatever is due in it happens at its time.
func (w *world) pass(d time.Duration) {
	w.Helper()
	end := w.now.Add(d)
	for {
		next := w.next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(w.now) {
			w.now = next
		}
		w.happen()
	}
	w.now = end
	w.happen()
}

// next returns when something happens by itself; zero for never.
func (w *world) next() time.Time {
	at := w.engine.AskAgain()
	for _, m := range w.machines {
		at = soonest(at, m.missed)
		for _, p := range m.tasks {
			at = soonest(at, p.next)
		}
	}
	for _, r := range w.routers {
		at = soonest(at, r.next)
	}
	return at
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// happen has everything happen that is due.
func (w *world) happen() {
	w.Helper()
	if w.leadEach > 0 && !w.now.Before(w.ledAt.Add(w.leadEach)) {
		w.lead()
	}
	for _, name := range slices.Sorted(maps.Keys(w.machines)) {
		w.machines[name].happen(w)
	}
	for _, name := range slices.Sorted(maps.Keys(w.routers)) {
		w.routers[name].happen(w)
	}
	w.commit()
}
