package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

func TestNextCopies(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	over := rollout.Verdict{Outcome: rollout.Done}
	tests := map[string]struct {
		want rollout.Batch
		seen []rollout.Copy
		plan rollout.BatchPlan
	}{
		"a job of no copies is done": {
			plan: rollout.BatchPlan{Verdict: over},
		},
		"all copies start at once": {
			want: rollout.Batch{Copies: 3},
			plan: rollout.BatchPlan{Start: []int{0, 1, 2}},
		},
		"a job ends when each copy has": {
			want: rollout.Batch{Copies: 2},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Finished},
				{Task: "j-2", Number: 1, State: task.Running},
			},
			plan: rollout.BatchPlan{Live: 1, Finished: 1, Waiting: "j-2 to end"},
		},
		"all finished is done": {
			want: rollout.Batch{Copies: 2},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Finished},
				{Task: "j-2", Number: 1, State: task.Finished},
			},
			plan: rollout.BatchPlan{Finished: 2, Verdict: over},
		},
		"a failed copy waits before its next task": {
			want: rollout.Batch{Copies: 1, Retries: 2},
			seen: []rollout.Copy{
				{Task: "j-1", State: task.Failed, Since: ago(time.Minute)},
				{Task: "j-2", State: task.Failed, Since: ago(time.Second)},
			},
			plan: rollout.BatchPlan{AskAgain: noon.Add(time.Second), Waiting: "a while, because a copy failed"},
		},
		"after the wait it gets one": {
			want: rollout.Batch{Copies: 1, Retries: 2},
			seen: []rollout.Copy{
				{Task: "j-2", State: task.Failed, Since: ago(2 * time.Second)},
				{Task: "j-1", State: task.Failed, Since: ago(time.Minute)},
			},
			plan: rollout.BatchPlan{Start: []int{0}},
		},
		"out of retries it has failed, and the others go on": {
			want: rollout.Batch{Copies: 2, Retries: 0},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Failed, Since: ago(time.Hour)},
				{Task: "j-2", Number: 1, State: task.Assigned},
			},
			plan: rollout.BatchPlan{Failed: 1, Live: 1, Waiting: "j-2 to end"},
		},
		"then the job has failed": {
			want: rollout.Batch{Copies: 2, Retries: 0},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Failed, Since: ago(time.Hour)},
				{Task: "j-2", Number: 1, State: task.Finished},
			},
			plan: rollout.BatchPlan{
				Failed: 1, Finished: 1,
				Verdict: rollout.Verdict{Outcome: rollout.Failed, Reason: "1 of 2 copies failed"},
			},
		},
		"a lost task is replaced at once and costs no retry": {
			want: rollout.Batch{Copies: 1},
			seen: []rollout.Copy{{Task: "j-1", State: task.Lost, Since: noon}},
			plan: rollout.BatchPlan{Start: []int{0}},
		},
		"a copy on a drained agent is stopped, and started elsewhere when it is gone": {
			want: rollout.Batch{Copies: 2},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Running, Leaving: true},
				{Task: "j-2", Number: 1, State: task.Stopped, Leaving: true},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-1"}, Start: []int{1}, Live: 1, Waiting: "j-1 to end"},
		},
		"a stopped job ends what runs and starts nothing": {
			want: rollout.Batch{Copies: 4, Stopped: true},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Running},
				{Task: "j-2", Number: 1, State: task.Pending},
				{Task: "j-3", Number: 2, State: task.Stopping},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-1"}, Cancel: []id.Task{"j-2"}, Live: 3, Waiting: "j-1 and 2 more to end"},
		},
		"a stopped job says what did not end": {
			want: rollout.Batch{Copies: 2, Stopped: true},
			seen: []rollout.Copy{{Task: "j-1", Number: 1, State: task.Finished}},
			plan: rollout.BatchPlan{Finished: 1, Verdict: rollout.Verdict{
				Outcome: rollout.Failed, Reason: "stopped before 1 of 2 copies ended",
			}},
		},
		"copies beyond the wished number are stopped": {
			want: rollout.Batch{Copies: 1},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Finished},
				{Task: "j-10", Number: 2, State: task.Running},
				{Task: "j-9", Number: 1, State: task.Running},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-9", "j-10"}, Live: 2, Finished: 1, Waiting: "tasks of copies too many to end"},
		},
		"of a copy that came back and its new task the one further on stays": {
			want: rollout.Batch{Copies: 3},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Running, Since: ago(time.Minute)},
				{Task: "j-2", Number: 0, State: task.Ready, Since: ago(time.Second)},
				{Task: "j-3", Number: 1, State: task.Starting, Since: ago(time.Minute)},
				{Task: "j-4", Number: 1, State: task.Running, Since: ago(time.Second)},
				{Task: "j-5", Number: 2, State: task.Running, Since: ago(time.Minute)},
				{Task: "j-6", Number: 2, State: task.Pending, Since: ago(time.Second)},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-2", "j-3"}, Cancel: []id.Task{"j-6"}, Live: 3, Waiting: "j-1 and 2 more to end"},
		},
		"one that leaves anyway does not stay": {
			want: rollout.Batch{Copies: 1},
			seen: []rollout.Copy{
				{Task: "j-1", State: task.Running, Since: ago(time.Minute), Leaving: true},
				{Task: "j-2", State: task.Starting, Since: ago(time.Second)},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-1"}, Live: 1, Waiting: "j-2 to end"},
		},
		"one that is being stopped waits for its end": {
			want: rollout.Batch{Copies: 1},
			seen: []rollout.Copy{
				{Task: "j-1", State: task.Running, Since: ago(time.Minute)},
				{Task: "j-2", State: task.Stopping, Since: ago(time.Second)},
			},
			plan: rollout.BatchPlan{Live: 1, Waiting: "j-1 to end"},
		},
		"a copy that came back with its work done ends the new task": {
			want: rollout.Batch{Copies: 1},
			seen: []rollout.Copy{
				{Task: "j-1", State: task.Finished, Since: ago(time.Minute)},
				{Task: "j-2", State: task.Running, Since: ago(time.Second)},
			},
			plan: rollout.BatchPlan{Stop: []id.Task{"j-2"}, Live: 1, Waiting: "j-2 to end"},
		},
		"a copy without a place is named": {
			want: rollout.Batch{Copies: 2},
			seen: []rollout.Copy{
				{Task: "j-1", Number: 0, State: task.Running},
				{Task: "j-2", Number: 1, State: task.Pending, Blocked: true},
			},
			plan: rollout.BatchPlan{Live: 2, Waiting: "room for j-2"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rollout.NextCopies(tc.want, tc.seen, noon)
			if diff := cmp.Diff(tc.plan, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("NextCopies (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCopiesLaws runs jobs whose tasks finish, fail, get lost and come back at
// random. A copy never has two tasks that shall go on, nor more failed ones than it
// may, a finished one is not run again nor counted twice, and the job ends with
// what became of its copies.
func TestCopiesLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rollout.Batch{
			Copies:  rapid.IntRange(0, 4).Draw(t, "copies"),
			Retries: rapid.IntRange(0, 3).Draw(t, "retries"),
		}
		var seen []rollout.Copy
		back := make(map[int]int)
		now := noon
		for range 500 {
			plan := rollout.NextCopies(want, seen, now)
			if plan.Verdict.Outcome != rollout.Going {
				checkJob(t, want, seen, plan)
				return
			}
			for i := range seen {
				if slices.Contains(plan.Stop, seen[i].Task) {
					seen[i].State = task.Stopping
				}
			}
			for _, number := range plan.Start {
				name := id.Task(fmt.Sprintf("job-%d", len(seen)+1))
				seen = append(seen, rollout.Copy{Task: name, Number: number, State: task.Running, Since: now})
			}
			checkCopies(t, want, seen, back)
			if plan.AskAgain.After(now) && plan.Live == 0 {
				now = plan.AskAgain
			}
			end(t, seen, back, now)
		}
		t.Fatal("no end")
	})
}

// end lets some of the running tasks end, in some way, and some that were lost come
// back; back counts those of each copy.
func end(t *rapid.T, seen []rollout.Copy, back map[int]int, now time.Time) {
	for i := range seen {
		ends := []task.State{task.Running, task.Finished, task.Failed, task.Lost, task.Stopped}
		switch seen[i].State {
		case task.Running:
			seen[i].State, seen[i].Since = rapid.SampledFrom(ends).Draw(t, "end"), now
		case task.Stopping:
			ends = []task.State{task.Stopping, task.Stopped, task.Finished, task.Lost}
			seen[i].State = rapid.SampledFrom(ends).Draw(t, "end of a stop")
		case task.Lost:
			if rapid.IntRange(0, 9).Draw(t, "comes back") == 0 {
				seen[i].State = rapid.SampledFrom([]task.State{task.Running, task.Finished}).Draw(t, "as")
				back[seen[i].Number]++
			}
		default:
		}
	}
}

// tally counts the tasks of one copy.
func tally(seen []rollout.Copy, copyNumber int) (live, finished, failed int) {
	for _, c := range seen {
		if c.Number == copyNumber {
			live += number(c.State.Live())
			finished += number(c.State == task.Finished)
			failed += number(c.State == task.Failed)
		}
	}
	return live, finished, failed
}

func checkCopies(t *rapid.T, want rollout.Batch, seen []rollout.Copy, back map[int]int) {
	for number := range want.Copies {
		live, finished, failed := tally(seen, number)
		back := back[number]
		if live > 1 || live > 0 && finished > 0 || finished > 1+back || failed > want.Retries+1+back || live > 0 && failed > want.Retries+back {
			t.Fatalf("copy %d: %d live, %d finished, %d failed, %d came back", number, live, finished, failed, back)
		}
	}
}

func checkJob(t *rapid.T, want rollout.Batch, seen []rollout.Copy, plan rollout.BatchPlan) {
	good := true
	for number := range want.Copies {
		live, finished, failed := tally(seen, number)
		if live > 0 || finished == 0 && failed <= want.Retries {
			t.Fatalf("the job is over; copy %d: %d live, %d finished, %d failed", number, live, finished, failed)
		}
		good = good && finished > 0
	}
	if plan.Finished+plan.Failed != want.Copies {
		t.Fatalf("of %d copies %d are counted as finished and %d as failed", want.Copies, plan.Finished, plan.Failed)
	}
	if good != (plan.Verdict.Outcome == rollout.Done) || len(plan.Start) > 0 || len(plan.Stop) > 0 {
		t.Fatalf("%+v", plan)
	}
}
