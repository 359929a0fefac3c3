package master_test

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/master"
)

// TestCrewLeavesProcessors: no more sessions work at one time than half of the processors,
// all have their turn, and one whose agent is awaited does not wait for the others.
func TestCrewLeavesProcessors(t *testing.T) {
	t.Parallel()
	for processors, places := range map[int]int64{1: 1, 2: 1, 3: 1, 8: 4} {
		synctest.Test(t, func(t *testing.T) {
			const sessions, takes = 40, time.Second
			c := master.NewCrew(processors)
			var working, most, done atomic.Int64
			for range sessions {
				go c.Shift(false).Do(func() {
					most.Store(max(most.Load(), working.Add(1)))
					time.Sleep(takes)
					working.Add(-1)
					done.Add(1)
				})
			}
			synctest.Wait()

			c.Shift(true).Do(func() {})

			if done.Load() != 0 {
				t.Errorf("of %d processors: an awaited session waited for %d others", processors, done.Load())
			}
			time.Sleep(sessions*takes/time.Duration(places) + takes/2)
			synctest.Wait()
			if done.Load() != sessions || most.Load() != places {
				t.Errorf("of %d processors: %d of %d sessions have worked, %d at one time; want %d", processors, done.Load(), sessions, most.Load(), places)
			}
		})
	}
}

// TestCrewSurvivesAPanic: a session that panics at work gives its place back.
func TestCrewSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		c := master.NewCrew(1)
		func() {
			defer func() { _ = recover() }()
			c.Shift(false).Do(func() { panic("a bug") })
		}()
		c.Shift(false).Do(func() {}) // else all wait for ever, which synctest tells
	})
}

// TestListenerRests: a session that waits for its agent has no place, and one that waits
// for a place is not silent.
func TestListenerRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const silentAfter = 5 * time.Second
		began := time.Now()
		c := master.NewCrew(1)
		agent, body := io.Pipe()
		l, cut := c.Listen(agent, silentAfter)
		heard := make(chan string)
		read := func() {
			text := make([]byte, 10)
			n, err := l.Read(text)
			heard <- fmt.Sprintf("%s %v after %v", text[:n], err, time.Since(began))
		}
		defer l.Stop()
		go read()
		synctest.Wait()

		c.Shift(false).Do(func() { // there is room while nothing comes
			time.Sleep(silentAfter - time.Second)
			_, _ = body.Write([]byte("hello"))
			time.Sleep(2 * silentAfter)
		})

		if got, want := <-heard, fmt.Sprintf("hello <nil> after %v", 3*silentAfter-time.Second); got != want {
			t.Errorf("heard %q; want %q: what has come is worked on when there is a place", got, want)
		}
		if at := l.Heard().Sub(began); at != silentAfter-time.Second {
			t.Errorf("the agent was heard after %v", at)
		}
		if cut.Load() != 0 {
			t.Fatal("the session was taken for silent while it waited for a place")
		}
		go read()
		time.Sleep(silentAfter + time.Second)
		if cut.Load() == 0 {
			t.Error("the session is not taken for silent")
		}
		_ = body.Close()
		<-heard
	})
}

// TestAwaitedWordsPass: a word that is awaited is folded in soon, however many others wait.
func TestAwaitedWordsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const enough = 100 // of 2 to the power of as many, one is not
		if before := master.WordsBeforeAwaited(2 * master.WordsMax); before < 0 || before > enough {
			t.Errorf("%d others went before it", before)
		}
	})
}

// TestWhoIsAwaited: of agents that are told of a rush of copies nothing is awaited, but of
// those that are told of services, or of anything in a quiet hour.
func TestWhoIsAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(roomy("a1")))
		s.beat()
		for _, step := range []struct {
			does  string
			spec  string
			wants bool
		}{
			{"comes", "", false},
			{"is told of a rush", rush("rush"), false},
			{"is told to stop it", "job: rush\ncopies: 1\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./work]}\n", false},
			{"is told of a copy", "job: one\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./work]}\n", true},
			{"is told of a rush and a service", rush("rush") + "---\nservice: web\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./serve]}\n", true},
		} {
			if step.spec != "" {
				n.deploy(step.spec)
			}
			time.Sleep(1100 * time.Millisecond)
			if awaited := n.master.IsAwaited("a1"); awaited != step.wants {
				t.Errorf("an agent that %s is awaited: %v", step.does, awaited)
			}
			time.Sleep(10 * time.Second)
			if n.master.IsAwaited("a1") {
				t.Errorf("long after it %s the agent is awaited", step.does)
			}
		}
	})
}

// TestWhoComesBackWaitsForAPlace: an agent that the cluster knows has much to tell when it
// joins, and takes its turn for that, but not a new one.
func TestWhoComesBackWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		before := n.comes("known")
		n.eventually("it has joined", func() bool { return n.master.IsHere("known") })
		before.cancel()
		n.eventually("its session has ended", func() bool { return !n.master.IsHere("known") })
		release := n.master.TakeAllPlaces()

		n.comes("known")
		n.comes("new")

		synctest.Wait()
		if n.master.IsHere("known") || !n.master.IsHere("new") {
			t.Errorf("the known agent is there: %v, the new one: %v; want the new one alone", n.master.IsHere("known"), n.master.IsHere("new"))
		}
		release()
		synctest.Wait()
		if !n.master.IsHere("known") {
			t.Error("the known agent is not there when there are places")
		}
	})
}
