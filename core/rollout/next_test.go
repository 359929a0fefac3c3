package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// inst makes an instance that has been in its state for a minute.
func inst(name id.Task, r id.Revision, s task.State, change ...func(*rollout.Instance)) rollout.Instance {
	i := rollout.Instance{Task: name, Revision: r, State: s, Since: noon.Add(-time.Minute)}
	if s.Serving() {
		i.ReadySince = i.Since
	}
	for _, f := range change {
		f(&i)
	}
	return i
}

func since(d time.Duration) func(*rollout.Instance) {
	return func(i *rollout.Instance) {
		i.Since = noon.Add(-d)
		if i.State.Serving() {
			i.ReadySince = i.Since
		}
	}
}

func crowd(n int) func(*rollout.Instance) { return func(i *rollout.Instance) { i.Crowd = n } }

func leaving(i *rollout.Instance) { i.Leaving = true }
func suspect(i *rollout.Instance) { i.Suspect = true }
func blocked(i *rollout.Instance) { i.Blocked = true }

func TestNext(t *testing.T) {
	t.Parallel()
	goal := rollout.Goal{Revision: 2, Base: 1, Instances: 2, Surge: 1, Settle: 10 * time.Second}
	steady := rollout.Goal{Revision: 2, Base: 2, Instances: 2, Surge: 1, Settle: 10 * time.Second}
	one := func(g rollout.Goal) rollout.Goal { g.Instances = 1; return g }
	none := func(g rollout.Goal) rollout.Goal { g.Instances = 0; return g }
	paused := func(g rollout.Goal) rollout.Goal { g.Paused = true; return g }
	type answer struct {
		Start        int
		Stop, Cancel []id.Task
		AskAgain     time.Time
		Waiting      string
	}
	tests := map[string]struct {
		goal rollout.Goal
		seen []rollout.Instance
		want answer
	}{
		"nothing runs: start all": {
			goal: goal,
			want: answer{Start: 2},
		},
		"nothing is wanted: stop all, silent ones as well": {
			goal: none(goal),
			seen: []rollout.Instance{inst("w-1", 2, task.Ready), inst("w-2", 1, task.Ready), inst("w-3", 1, task.Ready, suspect)},
			want: answer{Stop: []id.Task{"w-2", "w-3", "w-1"}},
		},
		"an ended instance does not count": {
			goal: steady,
			seen: []rollout.Instance{inst("w-1", 2, task.Ready), inst("w-2", 2, task.Lost), inst("w-3", 2, task.Stopped)},
			want: answer{Start: 1},
		},
		"one that failed for good is replaced after a while": {
			goal: steady,
			seen: []rollout.Instance{inst("w-1", 2, task.Ready), inst("w-2", 2, task.Failed, since(0))},
			want: answer{AskAgain: noon.Add(time.Second), Waiting: "a while, because instances of this revision failed"},
		},
		"of failures long ago nothing is held against it": {
			goal: steady,
			seen: []rollout.Instance{
				inst("w-1", 2, task.Ready), inst("w-2", 2, task.Failed, since(task.ResetAfter)),
				inst("w-3", 1, task.Failed, since(0)),
			},
			want: answer{Start: 1},
		},
		"a new instance does not count until it has settled": {
			goal: one(goal),
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 2, task.Ready, since(9*time.Second))},
			want: answer{AskAgain: noon.Add(time.Second), Waiting: "w-2 to settle"},
		},
		"settled, it lets an old one go": {
			goal: one(goal),
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 2, task.Ready, since(10*time.Second))},
			want: answer{Stop: []id.Task{"w-1"}},
		},
		"what is on its way out still holds its claim": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready), inst("w-2", 1, task.Draining), inst("w-3", 2, task.Ready),
			},
			want: answer{Waiting: "w-2 to stop"},
		},
		"old ones that serve nobody go at once": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready), inst("w-2", 1, task.Ready),
				inst("w-3", 1, task.Pending), inst("w-4", 1, task.Backoff), inst("w-5", 1, task.Running),
			},
			want: answer{Stop: []id.Task{"w-4", "w-5"}, Cancel: []id.Task{"w-3"}},
		},
		"an old one of the good revision that was ready a moment ago gets a moment": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Running, since(4*time.Second)), inst("w-2", 1, task.Running, since(rollout.Patience)),
				inst("w-3", 2, task.Running),
			},
			want: answer{Stop: []id.Task{"w-2"}, AskAgain: noon.Add(6 * time.Second), Waiting: "w-3 to become ready"},
		},
		"one of a revision that was never good does not": {
			goal: rollout.Goal{Revision: 3, Base: 1, Instances: 1, Surge: 1},
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 2, task.Running, since(time.Second))},
			want: answer{Stop: []id.Task{"w-2"}},
		},
		"it is all that is waited for": {
			goal: one(goal),
			seen: []rollout.Instance{inst("w-1", 1, task.Running, since(0)), inst("w-2", 1, task.Ready), inst("w-3", 2, task.Lost)},
			want: answer{AskAgain: noon.Add(10 * time.Second), Waiting: "w-1 to be ready again or given up"},
		},
		"nor when enough others have settled": {
			goal: one(goal),
			seen: []rollout.Instance{inst("w-1", 2, task.Ready), inst("w-2", 1, task.Running, since(0))},
			want: answer{Stop: []id.Task{"w-2"}, AskAgain: noon.Add(10 * time.Second)},
		},
		"going back keeps what starts of the good revision": {
			goal: rollout.Goal{Revision: 1, Base: 1, Instances: 2, Surge: 1},
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 1, task.Starting), inst("w-3", 2, task.Running)},
			want: answer{Stop: []id.Task{"w-3"}, Waiting: "w-2 to become ready"},
		},
		"no good one is stopped because others are silent": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready, suspect), inst("w-2", 1, task.Ready), inst("w-3", 2, task.Ready),
			},
			want: answer{Waiting: "the silent agent of w-1"},
		},
		"a silent one is not replaced until it is given up": {
			goal: steady,
			seen: []rollout.Instance{inst("w-1", 2, task.Ready, suspect), inst("w-2", 2, task.Ready)},
			want: answer{Waiting: "the silent agent of w-1"},
		},
		"one that leaves is replaced before it stops": {
			goal: steady,
			seen: []rollout.Instance{inst("w-1", 2, task.Ready, leaving), inst("w-2", 2, task.Ready)},
			want: answer{Start: 1},
		},
		"with unavailable it may stop at once": {
			goal: rollout.Goal{Revision: 2, Base: 2, Instances: 2, Surge: 1, Unavailable: 1},
			seen: []rollout.Instance{inst("w-1", 2, task.Ready, leaving), inst("w-2", 2, task.Ready)},
			want: answer{Start: 1, Stop: []id.Task{"w-1"}},
		},
		"without room it waits": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready), inst("w-2", 1, task.Ready), inst("w-9", 2, task.Pending, blocked),
			},
			want: answer{Waiting: "room for w-9"},
		},
		"what failed is said": {
			goal: goal,
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready), inst("w-2", 1, task.Ready), inst("w-9", 2, task.Backoff),
			},
			want: answer{Waiting: "w-9 to be started again after a failure"},
		},
		"scaling down stops the useless first": {
			goal: one(steady),
			seen: []rollout.Instance{
				inst("w-1", 2, task.Ready), inst("w-2", 2, task.Pending), inst("w-3", 2, task.Pending, blocked),
				inst("w-4", 2, task.Running), inst("w-5", 2, task.Backoff), inst("w-6", 2, task.Ready, suspect),
			},
			want: answer{
				Stop: []id.Task{"w-5", "w-4", "w-6"}, Cancel: []id.Task{"w-3", "w-2"},
			},
		},
		"then the crowded, then the newest, then the highest number": {
			goal: one(steady),
			seen: []rollout.Instance{
				inst("w-1", 2, task.Ready), inst("w-9", 2, task.Ready), inst("w-10", 2, task.Ready),
				inst("w-3", 2, task.Ready, crowd(1)), inst("w-4", 2, task.Ready, since(30*time.Second)),
			},
			want: answer{Stop: []id.Task{"w-3", "w-4", "w-10", "w-9"}},
		},
		"of old ones those that leave go first, and the good revision last": {
			goal: rollout.Goal{Revision: 3, Base: 1, Instances: 3, Surge: 3, Unavailable: 2},
			seen: []rollout.Instance{
				inst("w-1", 1, task.Ready), inst("w-2", 2, task.Ready), inst("w-3", 1, task.Ready, leaving),
				inst("w-4", 3, task.Starting),
			},
			want: answer{Start: 2, Stop: []id.Task{"w-3", "w-2"}, Waiting: "w-4 to become ready"},
		},
		"a paused deployment keeps its mix": {
			goal: paused(goal),
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 1, task.Ready), inst("w-3", 2, task.Running)},
			want: answer{Waiting: "an operator: the deployment is paused"},
		},
		"and replaces what is missing, not counting on what never was ready": {
			goal: paused(goal),
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-3", 2, task.Running)},
			want: answer{Start: 1, Waiting: "an operator: the deployment is paused"},
		},
		"and stops what is too many even with surge": {
			goal: paused(one(goal)),
			seen: []rollout.Instance{inst("w-1", 1, task.Ready), inst("w-2", 1, task.Ready), inst("w-3", 2, task.Running)},
			want: answer{Stop: []id.Task{"w-3"}, Waiting: "an operator: the deployment is paused"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := rollout.Next(tc.goal, tc.seen, noon)
			got := answer{plan.Start, plan.Stop, plan.Cancel, plan.AskAgain, plan.Waiting}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Next (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	goal := rollout.Goal{Revision: 2, Base: 1, Instances: 4, Surge: 1, Settle: 10 * time.Second, Paused: true}
	failing := inst("w-6", 2, task.Backoff)
	failing.Failures = 3
	seen := []rollout.Instance{
		inst("w-1", 1, task.Ready), inst("w-2", 2, task.Ready, since(time.Second)), inst("w-3", 1, task.Draining),
		inst("w-4", 1, task.Ready, leaving), inst("w-5", 2, task.Lost), failing,
	}

	plan := rollout.Next(goal, seen, noon)

	want := rollout.Plan{
		Revision: 1, Wanted: 4, Ready: 2, Settled: 1, Old: 1, Going: 1, Failures: 3, Paused: true,
		AskAgain: noon.Add(9 * time.Second), Waiting: "an operator: the deployment is paused",
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Errorf("Next (-want +got):\n%s", diff)
	}
}

func TestPlanInWords(t *testing.T) {
	t.Parallel()
	tests := map[string]rollout.Plan{
		"nothing to do": {},
		"start 2, stop web-1 web-2, cancel web-3": {Start: 2, Stop: []id.Task{"web-1", "web-2"}, Cancel: []id.Task{"web-3"}},
		"stop web-1": {Stop: []id.Task{"web-1"}},
		"stop web-1 web-2 web-3 web-4 and 96 more":           {Stop: manyTasks(100)},
		"cancel web-1 web-2 web-3 web-4 web-5":               {Cancel: manyTasks(5)},
		"start 1, cancel web-1 web-2 web-3 web-4 and 2 more": {Start: 1, Cancel: manyTasks(6)},
	}
	for want, plan := range tests {
		if got := plan.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
	}
}

func manyTasks(n int) []id.Task {
	tasks := make([]id.Task, n)
	for i := range tasks {
		tasks[i] = id.Task(fmt.Sprintf("web-%d", i+1))
	}
	return tasks
}

func TestLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		surge, unavailable         spec.Amount
		instances                  int
		wantSurge, wantUnavailable int
	}{
		"numbers stay":                          {spec.Amount{Count: 2}, spec.Amount{Count: 1}, 4, 2, 1},
		"a share is rounded up and down":        {spec.Amount{Percent: 25}, spec.Amount{Percent: 25}, 5, 2, 1},
		"a small share of few is none missing":  {spec.Amount{Percent: 10}, spec.Amount{Percent: 10}, 3, 1, 0},
		"a share of one, and no surge":          {spec.Amount{}, spec.Amount{Percent: 25}, 1, 0, 1},
		"neither: surge":                        {spec.Amount{}, spec.Amount{}, 4, 1, 0},
		"no more may be missing than there are": {spec.Amount{}, spec.Amount{Count: 9}, 4, 0, 4},
		"of none nothing may be missing":        {spec.Amount{}, spec.Amount{Count: 1}, 0, 1, 0},
		"all may be too many":                   {spec.Amount{Percent: 100}, spec.Amount{}, 7, 7, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			surge, unavailable := rollout.Limits(spec.Deploy{Surge: tc.surge, Unavailable: tc.unavailable}, tc.instances)
			if surge != tc.wantSurge || unavailable != tc.wantUnavailable {
				t.Errorf("Limits = %d, %d, want %d, %d", surge, unavailable, tc.wantSurge, tc.wantUnavailable)
			}
		})
	}
}
