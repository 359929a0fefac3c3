package engine_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// cores makes each task take so many of them.
func cores(n int64) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Resources = vector(1000*n, 64<<20) }
}

// within gives the tasks of a job a timeout.
func within(d time.Duration) func(*spec.Spec) { return func(s *spec.Spec) { s.Timeout = d } }

// bigJob has a job that wants a whole agent wait among small ones. After a while room
// is kept for it.
func bigJob(w *world) {
	w.addAgent("a1", 2)
	w.deploy(job("small-1", "work", 60, whole))
	w.pass(500 * time.Millisecond)
	w.deploy(job("big", "work", 1, cores(2)))
	w.pass(300 * time.Millisecond)
	w.deploy(job("small-2", "work", 40, whole))
	w.pass(30 * time.Second)
	w.explain("big")
	w.explain("small-2")
	w.pass(30 * time.Second)
}

// bigJobInPool has a job wait for what is left in its pool.
func bigJobInPool(w *world) {
	w.addAgent("a1", 8)
	w.setPool("p", 2000, 0)
	w.deploy(job("early", "work", 1, whole, inPools("p")))
	w.pass(500 * time.Millisecond)
	w.deploy(job("late", "work", 1, whole, inPools("p")))
	w.deploy(job("big", "work", 1, cores(2), inPools("p")))
	w.deploy(job("small", "work", 64, whole, inPools("p")))
	w.pass(31 * time.Second)
	w.explain("big")
	w.explain("small")
	w.pass(20 * time.Second)
}

// backfill has short jobs start on an agent that is kept, because they will have
// ended before it is needed.
func backfill(w *world) {
	w.addAgent("a1", 2)
	w.deploy(job("running", "long", 1, whole, within(2*time.Minute)))
	w.deploy(job("big", "work", 1, cores(2)))
	w.pass(40 * time.Second)
	w.explain("big")
	w.deploy(job("short", "work", 1, whole, within(20*time.Second)))
	w.deploy(job("open-ended", "work", 1, whole))
	w.pass(20 * time.Second)
	w.explain("open-ended")
	w.pass(2 * time.Minute)
}

// TestBigTasksAreNotStarved draws streams of small jobs, in the middle of which comes
// one whose task wants a whole agent. From when it has waited for 30 s, and a second
// in which that is noticed, no more tasks end on its agent than were there.
func TestBigTasksAreNotStarved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		slots := rapid.IntRange(2, 3).Draw(t, "slots")
		for n := range rapid.IntRange(1, 2).Draw(t, "agents") {
			w.addAgent(id.Agent(fmt.Sprintf("a%d", n)), int64(slots))
		}
		stream := func(kind string, n int) {
			for i := range n {
				user := rapid.SampledFrom([]string{"", "anna"}).Draw(t, "user")
				w.deploy(job(id.Service(fmt.Sprintf("%s-%d", kind, i)), "work", rapid.IntRange(30, 60).Draw(t, "copies"), whole, ofUser(user)))
				w.pass(time.Duration(rapid.IntRange(50, 400).Draw(t, "ms")) * time.Millisecond)
			}
		}
		stream("early", rapid.IntRange(1, 4).Draw(t, "early"))
		w.deploy(job("big", "work", 1, cores(int64(slots)), ofUser("anna")))
		since := w.now
		stream("late", rapid.IntRange(1, 4).Draw(t, "late"))
		if rapid.Bool().Draw(t, "another leader") {
			w.leadEach = 10 * time.Second
		}

		w.pass(5 * time.Minute)

		agent := w.engine.Task("big-1-1").Claim.Agent
		ends, started := 0, false
		for _, n := range w.notes {
			switch {
			case n.Kind == engine.TaskPlaced && n.Service == "big":
				started = true
			case n.Kind == engine.TaskEnded && n.Agent == agent && !started && !n.At.Before(since.Add(31*time.Second)):
				ends++
			}
		}
		if agent == "" || ends > slots {
			t.Fatalf("it started on agent %q after %d tasks had ended there, of %d at a time\n%s", agent, ends, slots, w.story.String())
		}
	})
}
