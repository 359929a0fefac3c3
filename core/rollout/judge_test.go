package rollout_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	type moment struct {
		after time.Duration // since the moment before
		plan  rollout.Plan
	}
	going := rollout.Plan{Revision: 2, Wanted: 4, Old: 4, Waiting: "web-5 to become ready"}
	with := func(change func(*rollout.Plan)) rollout.Plan {
		p := going
		change(&p)
		return p
	}
	settled := func(n int) rollout.Plan { return with(func(p *rollout.Plan) { p.Settled = n }) }
	failures := func(n, settled int) rollout.Plan {
		return with(func(p *rollout.Plan) { p.Failures, p.Settled = n, settled })
	}
	paused := with(func(p *rollout.Plan) { p.Paused = true })
	tests := map[string]struct {
		story []moment
		want  rollout.Verdict
	}{
		"a deployment that has just begun goes on": {
			story: []moment{{0, going}},
		},
		"a moment before the deadline it goes on": {
			story: []moment{{0, going}, {time.Minute - 1, going}},
		},
		"at the deadline it has failed, with what it waited for": {
			story: []moment{{0, going}, {time.Minute, going}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "no progress for 1m0s: waiting for web-5 to become ready"},
		},
		"waiting for room is waiting": {
			story: []moment{{0, going}, {time.Minute, with(func(p *rollout.Plan) { p.Waiting = "room for web-5" })}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "no progress for 1m0s: waiting for room for web-5"},
		},
		"that it waits for nothing in particular is said as well": {
			story: []moment{{0, going}, {time.Minute, with(func(p *rollout.Plan) { p.Waiting = "" })}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "no progress for 1m0s: waiting for its next step"},
		},
		"one more settled is progress": {
			story: []moment{{0, going}, {59 * time.Second, settled(1)}, {59 * time.Second, settled(1)}},
		},
		"one less to replace is progress": {
			story: []moment{{0, going}, {59 * time.Second, with(func(p *rollout.Plan) { p.Old = 3 })}, {59 * time.Second, going}},
		},
		"what was lost and comes back is none": {
			story: []moment{{0, settled(2)}, {30 * time.Second, settled(1)}, {30 * time.Second, settled(2)}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "no progress for 1m0s: waiting for web-5 to become ready"},
		},
		"scaling begins the deadline anew": {
			story: []moment{
				{0, settled(3)},
				{59 * time.Second, with(func(p *rollout.Plan) { p.Wanted, p.Settled = 2, 2 })},
				{59 * time.Second, with(func(p *rollout.Plan) { p.Wanted, p.Settled = 2, 2 })},
			},
		},
		"so many failures in a row are enough": {
			story: []moment{{0, going}, {time.Second, failures(1, 0)}, {time.Second, failures(3, 0)}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "3 starts failed in a row"},
		},
		"an instance that settles between them ends the row": {
			story: []moment{
				{0, going}, {time.Second, failures(2, 0)}, {time.Second, failures(2, 1)}, {time.Second, failures(4, 1)},
			},
		},
		"failures from before the deployment do not count": {
			story: []moment{{0, failures(9, 0)}, {time.Second, failures(11, 0)}},
		},
		"a failed instance that is forgotten does not count backwards": {
			story: []moment{
				{0, going}, {time.Second, failures(2, 0)}, {time.Second, failures(0, 0)}, {time.Second, failures(1, 0)},
			},
			want: rollout.Verdict{Outcome: rollout.Failed, Reason: "3 starts failed in a row"},
		},
		"a paused one has no deadline and counts no failures": {
			story: []moment{{0, going}, {time.Second, paused}, {time.Hour, with(func(p *rollout.Plan) { p.Paused, p.Failures = true, 9 })}},
		},
		"when it goes on the deadline begins anew": {
			story: []moment{{0, going}, {50 * time.Second, paused}, {time.Hour, going}, {time.Minute - 1, going}},
		},
		"and runs": {
			story: []moment{{0, going}, {50 * time.Second, paused}, {time.Hour, going}, {time.Minute, going}},
			want:  rollout.Verdict{Outcome: rollout.Failed, Reason: "no progress for 1m0s: waiting for web-5 to become ready"},
		},
		"done is done, even at the deadline": {
			story: []moment{{0, going}, {time.Minute, with(func(p *rollout.Plan) { p.Done = true })}},
			want:  rollout.Verdict{Outcome: rollout.Done},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deploy := spec.Deploy{Deadline: time.Minute, Failures: 3}
			var progress rollout.Progress
			var verdict rollout.Verdict
			now := noon
			for i, m := range tc.story {
				if verdict.Outcome != rollout.Going {
					t.Fatalf("moment %d: it is over: %+v", i, verdict)
				}
				now = now.Add(m.after)
				progress, verdict = rollout.Judge(progress, deploy, m.plan, now)
			}
			if diff := cmp.Diff(tc.want, verdict); diff != "" {
				t.Errorf("Judge (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeWithoutLimits(t *testing.T) {
	t.Parallel()
	progress, _ := rollout.Judge(rollout.Progress{}, spec.Deploy{}, rollout.Plan{}, noon)

	progress, verdict := rollout.Judge(progress, spec.Deploy{}, rollout.Plan{Failures: 99}, noon.Add(1000*time.Hour))

	if verdict.Outcome != rollout.Going || !progress.Due(spec.Deploy{}).IsZero() {
		t.Errorf("%+v, due %v", verdict, progress.Due(spec.Deploy{}))
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	deploy := spec.Deploy{Deadline: time.Minute}
	progress, _ := rollout.Judge(rollout.Progress{}, deploy, rollout.Plan{Wanted: 1}, noon)
	if due := progress.Due(deploy); !due.Equal(noon.Add(time.Minute)) {
		t.Errorf("Due = %v", due)
	}

	progress, _ = rollout.Judge(progress, deploy, rollout.Plan{Wanted: 1, Paused: true}, noon)
	if due := progress.Due(deploy); !due.IsZero() {
		t.Errorf("paused, Due = %v", due)
	}
}

// TestEveryDeploymentEnds deploys any program, with any room for it. There is
// always a verdict; if it is bad, the service goes back by itself; and all the
// time there are as many good instances as the spec demands.
func TestEveryDeploymentEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		calm(w)
		w.goal.Base = 1
		converge(t, w)
		deploy := spec.Deploy{Deadline: time.Minute, Failures: rapid.IntRange(0, 3).Draw(t, "failures")}
		w.goal.Revision = 2
		w.programs[2] = program{
			ready: rapid.SampledFrom([]time.Duration{0, time.Second, 40 * time.Second, 90 * time.Second}).Draw(t, "ready"),
			never: rapid.Bool().Draw(t, "never"),
			exits: rapid.Bool().Draw(t, "exits"),
		}
		w.room = rapid.IntRange(w.goal.Instances, w.goal.Instances+w.goal.Surge).Draw(t, "room")

		verdict := judged(t, w, deploy)

		bad := w.programs[2].never || w.programs[2].exits || w.programs[2].ready >= time.Minute
		if w.goal.Instances > 0 && bad != (verdict.Outcome == rollout.Failed) && w.room > w.goal.Instances {
			t.Fatalf("%+v: %+v", w.programs[2], verdict)
		}
		if verdict.Outcome == rollout.Failed {
			w.goal.Revision, w.progress = 1, rollout.Progress{}
			if again := judged(t, w, deploy); again.Outcome != rollout.Done {
				t.Fatalf("going back: %+v", again)
			}
		}
	})
}

// judged carries out plans until there is a verdict.
func judged(t *rapid.T, w *world, deploy spec.Deploy) rollout.Verdict {
	for range 5000 {
		plan := step(t, w)
		progress, verdict := rollout.Judge(w.progress, deploy, plan, w.now)
		if w.progress = progress; verdict.Outcome != rollout.Going {
			return verdict
		}
		w.carryOut(plan)
		good := 0
		for _, i := range w.list {
			good += number(i.status.State.Serving())
		}
		if good < w.goal.Instances-w.goal.Unavailable {
			t.Fatalf("%d good of %d: %s", good, w.goal.Instances, w.picture())
		}
		w.pass(soonest(w.now, plan.AskAgain, w.upcoming(), progress.Due(deploy)))
	}
	t.Fatalf("no verdict: %s", w.picture())
	return rollout.Verdict{}
}
