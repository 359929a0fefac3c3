package task_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/task"
)

func TestObserve(t *testing.T) {
	t.Parallel()
	crash := &task.Exit{Code: 1, At: after(time.Minute)}
	tests := map[string]struct {
		known, reported, want task.Status
		same                  bool
	}{
		"states may be left out": {
			known:    task.Status{State: task.Assigned, Since: noon},
			reported: task.Status{State: task.Ready, Since: after(5), Attempt: 1, ReadySince: after(5)},
			want:     task.Status{State: task.Ready, Since: after(5), Attempt: 1, ReadySince: after(5)},
		},
		"a late report of an earlier attempt changes nothing": {
			known:    task.Status{State: task.Starting, Since: after(time.Hour), Attempt: 2, Last: crash},
			reported: task.Status{State: task.Ready, Since: noon, Attempt: 1, ReadySince: noon},
			want:     task.Status{State: task.Starting, Since: after(time.Hour), Attempt: 2, Last: crash},
			same:     true,
		},
		"an exit that was seen is not forgotten": {
			known:    task.Status{State: task.Backoff, Since: noon, Attempt: 1, Failures: 1, Last: crash},
			reported: task.Status{State: task.Starting, Since: noon, Attempt: 2, Failures: 1},
			want:     task.Status{State: task.Starting, Since: noon, Attempt: 2, Failures: 1, Last: crash},
		},
		"of two changes of readiness the later counts": {
			known:    task.Status{State: task.Ready, Since: noon, Attempt: 1, ReadySince: noon},
			reported: task.Status{State: task.Running, Since: after(1), Attempt: 1, Reason: "503"},
			want:     task.Status{State: task.Running, Since: after(1), Attempt: 1, Reason: "503"},
		},
		"of two changes of health the later counts": {
			known:    task.Status{State: task.Ready, Since: after(9), Attempt: 1, ReadySince: noon},
			reported: task.Status{State: task.Ready, Since: after(5), Attempt: 1, ReadySince: noon, UnhealthySince: after(5), Unhealthy: "hung"},
			want:     task.Status{State: task.Ready, Since: after(9), Attempt: 1, ReadySince: noon},
			same:     true,
		},
		"a draining task does not go back to ready": {
			known:    task.Status{State: task.Draining, Since: after(9), Attempt: 1, ReadySince: noon, Reason: "scaled down"},
			reported: task.Status{State: task.Ready, Since: after(20), Attempt: 1, ReadySince: after(20)},
			want:     task.Status{State: task.Draining, Since: after(9), Attempt: 1, ReadySince: noon, Reason: "scaled down"},
			same:     true,
		},
		"a draining task that crashed for good is stopped, with its exit": {
			known:    task.Status{State: task.Draining, Since: after(9), Attempt: 1, ReadySince: noon, Reason: "scaled down"},
			reported: task.Status{State: task.Failed, Since: after(time.Minute), Attempt: 1, Failures: 1, Last: crash},
			want: task.Status{
				State: task.Stopped, Since: after(time.Minute), Attempt: 1, Failures: 1, Last: crash, Reason: "scaled down",
			},
		},
		"a draining task that is about to be started again goes on draining: routers may have it": {
			known: task.Status{State: task.Draining, Since: after(9), Attempt: 1, ReadySince: noon, Reason: "scaled down"},
			reported: task.Status{
				State: task.Backoff, Since: after(time.Minute), Attempt: 1, Failures: 1, Last: crash,
				RetryAt: after(time.Hour),
			},
			want: task.Status{
				State: task.Draining, Since: after(9), Attempt: 1, ReadySince: noon, Failures: 1, Last: crash,
				Reason: "scaled down",
			},
		},
		"a backoff from before a drained task was started again is no news": {
			known:    task.Status{State: task.Draining, Since: after(time.Hour), Attempt: 2, Last: crash, Failures: 1},
			reported: task.Status{State: task.Backoff, Since: after(time.Minute), Attempt: 1, Failures: 1, Last: crash},
			want:     task.Status{State: task.Draining, Since: after(time.Hour), Attempt: 2, Last: crash, Failures: 1},
			same:     true,
		},
		"what finished before the stop reached it is finished": {
			known:    task.Status{State: task.Stopping, Since: noon, Attempt: 1},
			reported: task.Status{State: task.Finished, Since: after(time.Second), Attempt: 1, Last: &task.Exit{}},
			want:     task.Status{State: task.Finished, Since: after(time.Second), Attempt: 1, Last: &task.Exit{}},
		},
		"a lost task stays lost when its agent comes back": {
			known:    task.Status{State: task.Lost, Since: noon, Attempt: 1},
			reported: task.Status{State: task.Ready, Since: after(time.Hour), Attempt: 1, ReadySince: after(time.Hour)},
			want:     task.Status{State: task.Lost, Since: noon, Attempt: 1},
			same:     true,
		},
		"no agent knows of a pending task": {
			known:    task.Status{State: task.Pending, Since: noon},
			reported: task.Status{State: task.Ready, Since: noon, Attempt: 1},
			want:     task.Status{State: task.Pending, Since: noon},
			same:     true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, changed := task.Observe(tc.known, tc.reported)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Observe (-want +got):\n%s", diff)
			}
			if changed == tc.same {
				t.Errorf("changed = %v", changed)
			}
		})
	}
}

// TestStepLaws throws random events at a task: an end is final, attempts only
// grow, one at a time, Since never goes back, and a refusal changes nothing.
func TestStepLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := task.Status{State: task.Pending, Since: noon}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			e := anyEvent(t, s)
			next, err := task.Step(s, e)
			switch {
			case err != nil && !next.Equal(s):
				t.Fatalf("refused %s changes %+v to %+v", e, s, next)
			case s.State.Ended() && err == nil:
				t.Fatalf("%s moves a task that is %s", e, s.State)
			case next.Since.Before(s.Since):
				t.Fatalf("%s takes Since back from %v to %v", e, s.Since, next.Since)
			case next.Attempt != s.Attempt && (next.Attempt != s.Attempt+1 || next.State != task.Starting):
				t.Fatalf("%s makes attempt %d of %d", e, next.Attempt, s.Attempt)
			case !s.State.Live() && next.State.Live():
				t.Fatalf("%s takes a task back from %s to %s", e, s.State, next.State)
			case next.State.Serving() == next.ReadySince.IsZero() && next.State.Live():
				t.Fatalf("%s: %s with ReadySince %v", e, next.State, next.ReadySince)
			case next.IsUnhealthy() && (next.State < task.Running || next.State == task.Backoff || next.State == task.Finished || next.State == task.Failed):
				t.Fatalf("%s: %s and unhealthy", e, next.State)
			case next.IsUnhealthy() != (next.Unhealthy != ""):
				t.Fatalf("%s: unhealthy since %v, because %q", e, next.UnhealthySince, next.Unhealthy)
			case (next.State == task.Backoff) == next.RetryAt.IsZero():
				t.Fatalf("%s: %s with RetryAt %v", e, next.State, next.RetryAt)
			}
			s = next
		}
	})
}

// TestObserveLaws lets an agent live a random life and shows its reports to a
// master late, twice and out of order, while the master may drain or stop the
// task or give it up.
func TestObserveLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		life := anyLife(t)
		reports := rapid.Permutation(slices.Concat(life, life)).Draw(t, "reports")
		known := task.Status{State: task.Assigned, Since: noon}
		for i, r := range reports {
			before := known
			known, _ = task.Observe(known, r)
			checkObserved(t, before, r, known)
			if move, ok := masterMove(t, i); ok {
				if next, err := task.Step(known, move); err == nil {
					known = next
				}
			}
		}
	})
}

// TestObserveOrder shows the same life in two orders: the master ends up
// knowing the agent's last word both times.
func TestObserveOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		life := anyLife(t)
		last := life[len(life)-1]
		known := task.Status{State: task.Assigned, Since: noon}
		draining := rapid.Bool().Draw(t, "draining")
		if draining {
			known = play(t, known, task.Drain{At: noon, Reason: "scaled down"})
		}
		for _, r := range rapid.Permutation(life).Draw(t, "reports") {
			known, _ = task.Observe(known, r)
		}
		want := last.State
		switch {
		case draining && last.State == task.Failed:
			want = task.Stopped
		case draining && !last.State.Ended():
			want = known.State // how far a drain has come is the master's own affair
		}
		if known.State != want || known.Attempt != last.Attempt || !known.Last.Equal(last.Last) {
			t.Fatalf("last word %+v\nis known as %+v", last, known)
		}
		if !draining && known.Unhealthy != last.Unhealthy {
			t.Fatalf("last word %+v\nis known as %+v", last, known)
		}
		if !draining && (!known.Since.Equal(last.Since) || !known.ReadySince.Equal(last.ReadySince)) {
			t.Fatalf("last word %+v\nis known as %+v", last, known)
		}
	})
}

func anyEvent(t *rapid.T, s task.Status) task.Event {
	at := after(time.Duration(rapid.IntRange(0, 3600).Draw(t, "second")) * time.Second)
	exit := &task.Exit{Code: rapid.IntRange(0, 1).Draw(t, "code"), At: at}
	return rapid.SampledFrom([]task.Event{
		task.Assign{At: at},
		task.Block{At: at, Reason: "no room"},
		task.Accept{At: at, Attempt: s.Attempt + rapid.IntRange(0, 2).Draw(t, "attempt")},
		task.Start{At: at},
		task.BecomeReady{At: at},
		task.BecomeUnready{At: at, Reason: "503"},
		task.BecomeUnhealthy{At: at, Reason: "hung"},
		task.BecomeHealthy{At: at},
		task.End{At: at, Exit: exit, Again: true},
		task.End{At: at, Exit: exit, Completes: true},
		task.Drain{At: at},
		task.Stop{At: at},
		task.Lose{At: at},
	}).Draw(t, "event")
}

// anyLife returns what an agent could report of a task, in the order it happened.
func anyLife(t *rapid.T) []task.Status {
	at := noon
	s := play(t, task.Status{State: task.Assigned, Since: noon}, task.Accept{At: at, Attempt: 1})
	life := []task.Status{s}
	for range rapid.IntRange(0, 12).Draw(t, "moves") {
		at = at.Add(rapid.SampledFrom([]time.Duration{0, time.Second, task.ResetAfter}).Draw(t, "pause"))
		exit := &task.Exit{Code: rapid.IntRange(0, 1).Draw(t, "code"), At: at.Add(time.Duration(len(life)))}
		move := rapid.SampledFrom([]task.Event{
			task.Accept{At: at, Attempt: s.Attempt + 1},
			task.Start{At: at},
			task.BecomeReady{At: at},
			task.BecomeUnready{At: at, Reason: "503"},
			task.BecomeUnhealthy{At: at, Reason: "hung"},
			task.BecomeHealthy{At: at},
			task.End{At: at, Exit: exit, Again: true},
			task.End{At: at, Exit: exit, Completes: true},
			task.Stop{At: at},
		}).Draw(t, "move")
		if next, err := task.Step(s, move); err == nil {
			s = next
			life = append(life, s)
		}
	}
	return life
}

// masterMove draws what the master does between two reports, mostly nothing.
func masterMove(t *rapid.T, i int) (task.Event, bool) {
	at := after(time.Duration(i) * time.Minute)
	moves := []task.Event{task.Drain{At: at, Reason: "drained"}, task.Stop{At: at}, task.Lose{At: at}}
	n := rapid.IntRange(0, 12).Draw(t, "master")
	if n >= len(moves) {
		return nil, false
	}
	return moves[n], true
}

func checkObserved(t *rapid.T, before, report, now task.Status) {
	again, changed := task.Observe(now, report)
	switch {
	case changed || !again.Equal(now):
		t.Fatalf("%+v\nonce makes %+v\ntwice %+v", report, now, again)
	case before.State.Ended() && !now.Equal(before):
		t.Fatalf("%+v\nmoves an ended task to %+v", report, now)
	case !before.State.Live() && now.State.Live():
		t.Fatalf("%+v\ntakes %s back to %s", report, before.State, now.State)
	case before.State == task.Stopping && now.State == task.Draining:
		t.Fatalf("%+v\ntakes stopping back to draining", report)
	case now.Attempt < before.Attempt:
		t.Fatalf("%+v\ntakes attempt %d back to %d", report, before.Attempt, now.Attempt)
	case before.Last != nil && now.Last == nil:
		t.Fatalf("%+v\nforgets the exit", report)
	}
}

// TestReturn takes back only what was lost, and only as something that is there or
// that came to its aim.
func TestReturn(t *testing.T) {
	t.Parallel()
	states := []task.State{
		task.Pending, task.Assigned, task.Starting, task.Running, task.Ready, task.Backoff, task.Draining,
		task.Stopping, task.Stopped, task.Finished, task.Failed, task.Lost,
	}
	back := map[task.State]bool{task.Starting: true, task.Running: true, task.Ready: true, task.Backoff: true, task.Finished: true}
	for _, known := range states {
		for _, reported := range states {
			was := task.Status{State: known, Since: noon.Add(time.Minute), Attempt: 2, Last: &task.Exit{Code: 3}, Reason: "silent"}
			is := task.Status{State: reported, Since: noon, ReadySince: noon, Attempt: 2}

			next, returns := task.Return(was, is)

			want := was
			if known == task.Lost && back[reported] {
				want = is
				want.Last = was.Last
			}
			if returns != (known == task.Lost && back[reported]) || !next.Equal(want) {
				t.Errorf("%s, reported as %s: found %+v, %t", known, reported, next, returns)
			}
		}
	}
	older := task.Status{State: task.Ready, Attempt: 1}
	if next, returns := task.Return(task.Status{State: task.Lost, Attempt: 2}, older); returns || next.State != task.Lost {
		t.Errorf("an attempt that is over came back: %+v", next)
	}
}
