package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
)

// change says at which commit of a story the leader changes, and whether that
// commit is lost with it: what was not durable was never told to anybody, so
// agents and routers tell it again, and operators ask again.
type change struct {
	at   int // counted from 1
	lost bool
}

// delayMax is by how much a change of leader may put off what happens: routers
// must take up a table of the new leader, and confirm it.
const delayMax = 100 * time.Millisecond

// changesMax is at about how many of a long story's commits the leader changes.
const changesMax = 20

// TestPromisesAreKept changes the leader once, before and after commits of
// every story. The same happens, at the same times up to what a new leader must
// wait for: deployments go on at their step, deadlines, settle times, drains,
// backoffs and silences count on, and the queue keeps its order.
func TestPromisesAreKept(t *testing.T) {
	t.Parallel()
	for name, play := range stories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "router-gone" {
				t.Skip("a new leader waits for a router that is gone no longer than for any other")
			}
			calm := newWorld(t)
			play(calm)
			for at := 1; at <= calm.commits; at += 1 + calm.commits/changesMax {
				for _, lost := range []bool{false, true} {
					w := newWorld(t)
					w.change = change{at, lost}
					play(w)
					if why := compareNotes(calm.notes, w.notes); why != "" {
						t.Fatalf("with a new leader at commit %d (lost: %t): %s\n%s", at, lost, why, w.story.String())
					}
					if calm.end() != w.end() {
						t.Fatalf("with a new leader at commit %d (lost: %t) the end is\n%s\nwant\n%s\n%s", at, lost, w.end(), calm.end(), w.story.String())
					}
				}
			}
		})
	}
}

// compareNotes says how two tellings of a story differ; "" if they do not.
func compareNotes(want, got []engine.Note) string {
	want, got = byWhat(want), byWhat(got)
	for i := range max(len(want), len(got)) {
		switch {
		case i == len(got) || i < len(want) && what(want[i]) < what(got[i]):
			return fmt.Sprintf("it does not tell, at %v: %s: %s", want[i].At.Sub(noon), what(want[i]), want[i].Text)
		case i == len(want) || what(want[i]) > what(got[i]):
			return fmt.Sprintf("it tells, at %v: %s: %s", got[i].At.Sub(noon), what(got[i]), got[i].Text)
		case got[i].At.Sub(want[i].At).Abs() > delayMax:
			return fmt.Sprintf("%s happens at %v, want %v", what(want[i]), got[i].At.Sub(noon), want[i].At.Sub(noon))
		}
	}
	return ""
}

func byWhat(notes []engine.Note) []engine.Note {
	return slices.SortedFunc(slices.Values(notes), func(a, b engine.Note) int { return cmp.Or(cmp.Compare(what(a), what(b)), a.At.Compare(b.At)) })
}

// what says what a note is about.
func what(n engine.Note) string {
	text := fmt.Sprint(n.Kind, " ", n.Service, " ", n.Deployment, " ", n.Task, " ", n.Agent, " ", n.Pool)
	if n.Deployment != "" {
		text += " " + n.Text // why it came to that
	}
	return text
}
