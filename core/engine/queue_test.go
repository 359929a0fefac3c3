package engine_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
)

// whole makes each task take a whole core.
func whole(s *spec.Spec) { s.Resources = vector(1000, 64<<20) }

// ofUser makes a job that of a user.
func ofUser(name string) func(*spec.Spec) { return func(s *spec.Spec) { s.User = name } }

// queueOfUsers has two users wait for the room that the first has taken. They are
// served in turns, whoever asked for more and earlier.
func queueOfUsers(w *world) {
	w.addAgent("a1", 2)
	w.deploy(job("many", "work", 6, whole, ofUser("anna")))
	w.pass(100 * time.Millisecond)
	w.deploy(job("few", "work", 2, whole, ofUser("ben")), job("more", "work", 1, whole, ofUser("anna")))
	w.explain("few")
	w.explain("more")
	w.pass(6 * time.Second)
}

// queueOfPools has jobs wait in two pools, one of twice the weight, and in one of a
// higher priority.
func queueOfPools(w *world) {
	w.addAgent("a1", 3)
	w.ask(engine.SetPool{Pool: ledger.Pool{ID: "light"}})
	w.ask(engine.SetPool{Pool: ledger.Pool{ID: "heavy", Weight: 2 * ledger.WeightOne}})
	w.ask(engine.SetPool{Pool: ledger.Pool{ID: "first", Priority: 1}})
	w.deploy(job("old", "long", 3, whole))
	w.pass(100 * time.Millisecond)
	w.deploy(job("light", "long", 4, whole, inPools("light")), job("heavy", "long", 4, whole, inPools("heavy")))
	w.pass(100 * time.Millisecond)
	w.ask(engine.StopService{Service: "old"})
	w.pass(3 * time.Second)
	w.deploy(job("first", "long", 1, whole, inPools("light", "first")))
	w.kill("light-1-1")
	w.pass(3 * time.Second)
}

// queueAndAService has a service deployed behind many jobs.
func queueAndAService(w *world) {
	w.addAgent("a1", 2)
	w.deploy(job("many", "work", 8, whole))
	w.pass(500 * time.Millisecond)
	w.deploy(web("web", "ok", 2, whole))
	w.explain("web")
	w.pass(12 * time.Second)
}

// TestServicesDoNotWaitForJobs draws jobs that wait and a service that comes behind
// them: until the service has all that it wants, no job of its priority gets a place.
func TestServicesDoNotWaitForJobs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for n := range rapid.IntRange(1, 3).Draw(t, "agents") {
			w.addAgent(id.Agent(fmt.Sprintf("a%d", n)), 3)
		}
		for n := range rapid.IntRange(1, 6).Draw(t, "jobs") {
			user := rapid.SampledFrom([]string{"", "anna", "ben"}).Draw(t, "user")
			w.deploy(job(id.Service(fmt.Sprintf("j%d", n)), "work", rapid.IntRange(1, 8).Draw(t, "copies"), whole, ofUser(user)))
		}
		w.pass(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
		instances := rapid.IntRange(1, 3).Draw(t, "instances")
		w.notes = nil

		w.deploy(web("web", "ok", instances, whole))
		w.pass(10 * time.Second)

		placed := 0
		for _, n := range w.notes {
			switch {
			case n.Kind != engine.TaskPlaced:
			case n.Service == "web":
				placed++
			case placed < instances:
				t.Fatalf("%s got a place, and %d of %d instances had none\n%s", n.Task, instances-placed, instances, w.story.String())
			}
		}
		if placed != instances {
			t.Fatalf("%d of %d instances got a place\n%s", placed, instances, w.story.String())
		}
	})
}
