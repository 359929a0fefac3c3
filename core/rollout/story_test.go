package rollout_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scene is what an operator or the world does at a time of a story.
type scene struct {
	at  time.Duration
	say string
	do  func(*world)
}

// deployTo makes a scene that asks for another revision.
func deployTo(at time.Duration, r int, behaves program) scene {
	return scene{at, fmt.Sprintf("deploy revision %d", r), func(w *world) {
		w.goal.Revision++
		w.programs[w.goal.Revision] = behaves
		w.progress = rollout.Progress{}
	}}
}

func scaleTo(at time.Duration, n int) scene {
	return scene{at, fmt.Sprintf("scale to %d", n), func(w *world) { w.goal.Instances = n }}
}

// TestStories plays deployments from the first plan to the last, and keeps them
// in files that read as stories. All begin with revision 1 in service.
func TestStories(t *testing.T) {
	t.Parallel()
	second := time.Second
	good := program{ready: second}
	deploy := spec.Deploy{Deadline: 30 * second, Failures: 2}
	service := rollout.Goal{Instances: 4, Surge: 1, Settle: 2 * second}
	spare := rollout.Goal{Instances: 4, Surge: 0, Unavailable: 1, Settle: 2 * second}
	tests := map[string]struct {
		title  string
		goal   rollout.Goal
		set    func(*world)
		scenes []scene
	}{
		"roll": {
			title:  "Four instances are replaced one by one, with one above the wished number.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, good)},
		},
		"unavailable": {
			title:  "One instance may be missing and none may be too many: stop one, start one.",
			goal:   spare,
			scenes: []scene{deployTo(0, 2, good)},
		},
		"never-ready": {
			title:  "The new revision never becomes ready: the deadline decides, and the old one has served all the time.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, program{never: true})},
		},
		"exits": {
			title:  "The new revision's program exits at once: two failed starts in a row are enough.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, program{exits: true})},
		},
		"second-deployment": {
			title:  "In the middle of a deployment comes another; three revisions are alive at once.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, good), deployTo(7*second, 3, good)},
		},
		"scale": {
			title:  "In the middle of a deployment the service is scaled from 4 to 8, and then to 2.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, good), scaleTo(6*second, 8), scaleTo(14*second, 2)},
		},
		"drain": {
			title: "An agent is drained: each of its instances is replaced before it is stopped.",
			goal:  service,
			scenes: []scene{{0, "drain an agent", func(w *world) {
				w.drained[1] = true
			}}},
		},
		"unhealthy": {
			title: "An instance is not alive and still ready: it serves until another one has settled.",
			goal:  service,
			scenes: []scene{{0, "web-2 is not alive", func(w *world) {
				w.sicken(w.list[1])
			}}},
		},
		"unhealthy-for-a-moment": {
			title: "An instance is alive again before another one has taken its place: that one is too many.",
			goal:  service,
			scenes: []scene{
				{0, "web-2 is not alive", func(w *world) { w.sicken(w.list[1]) }},
				{2 * second, "web-2 is alive again", func(w *world) { w.sicken(w.list[1]) }},
			},
		},
		"unhealthy-without-surge": {
			title: "One instance may be missing and none may be too many: what is not alive is stopped first.",
			goal:  spare,
			scenes: []scene{{0, "web-2 is not alive", func(w *world) {
				w.sicken(w.list[1])
			}}},
		},
		"unhealthy-revision": {
			title:  "The new revision's program is ready, and not alive a moment later: that is a failed start, and two are enough.",
			goal:   service,
			scenes: []scene{deployTo(0, 2, program{ready: second, hangs: second})},
		},
		"no-room": {
			title: "There is no room for a surge instance, and none may be missing: it waits until room comes.",
			goal:  service,
			set:   func(w *world) { w.room = 4 },
			scenes: []scene{deployTo(0, 2, good), {5 * second, "room comes", func(w *world) {
				w.room = 5
				w.unblock()
			}}},
		},
		"no-room-unavailable": {
			title:  "There is no room for a surge instance, but one may be missing: it goes on without.",
			goal:   rollout.Goal{Instances: 4, Surge: 1, Unavailable: 1, Settle: 2 * second},
			set:    func(w *world) { w.room = 4 },
			scenes: []scene{deployTo(0, 2, good)},
		},
		"lost": {
			title: "An agent falls silent and is given up: what it ran is started elsewhere.",
			goal:  service,
			scenes: []scene{
				{0, "an agent is silent", func(w *world) { w.silent[1] = true }},
				{30 * second, "the agent is given up", func(w *world) { w.lose(1) }},
			},
		},
		"pause": {
			title: "A deployment is paused, an instance of the old revision is lost meanwhile, and it goes on.",
			goal:  service,
			scenes: []scene{
				deployTo(0, 2, good),
				{6 * second, "pause", func(w *world) { w.goal.Paused = true }},
				{60 * second, "lose an agent", func(w *world) { w.silent[1] = true; w.lose(1) }},
				{100 * second, "resume", func(w *world) { w.goal.Paused = false }},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.goal.Revision, tc.goal.Base = 1, 1
			w := newWorld(tc.goal)
			w.programs[1] = good
			serve(w)
			if tc.set != nil {
				tc.set(w)
			}
			compareGolden(t, name+".txt", tc.title+"\n\n"+legend+tell(t, w, deploy, tc.scenes))
		})
	}
}

// serve brings the first revision into service, before the story begins.
func serve(w *world) {
	for {
		plan := rollout.Next(w.goal, w.seen(), w.now)
		if plan.Done {
			break
		}
		w.carryOut(plan)
		w.pass(w.now.Add(time.Second))
	}
	w.pass(w.now.Add(time.Hour))
	w.events = nil
}

// tell plays the scenes until nothing moves any more, one row for each moment.
func tell(t *testing.T, w *world, deploy spec.Deploy, scenes []scene) string {
	t.Helper()
	rows := table{{"time", "instances", "plan", "what happened", "what it waits for"}}
	begin := w.now
	for range 200 {
		for len(scenes) > 0 && !begin.Add(scenes[0].at).After(w.now) {
			scenes[0].do(w)
			w.events = append(w.events, scenes[0].say)
			scenes = scenes[1:]
		}
		plan := rollout.Next(w.goal, w.seen(), w.now)
		clock := w.now.Sub(begin).String()
		outcome, due := w.judge(deploy, plan)
		happened := w.take()
		if outcome == rollout.Failed {
			rows = append(rows, []string{clock, w.picture(), "go back", happened, ""})
			continue
		}
		w.carryOut(plan)
		if happened != "" || plan.Acts() || outcome == rollout.Done {
			rows = append(rows, []string{clock, w.picture(), planText(plan), happened, plan.Waiting})
		}
		if plan.Done && len(scenes) == 0 && plan.Going == 0 && !plan.Acts() {
			return rows.String()
		}
		times := []time.Time{plan.AskAgain, due, w.upcoming()}
		if len(scenes) > 0 {
			times = append(times, begin.Add(scenes[0].at))
		}
		w.pass(soonest(w.now, times...))
	}
	t.Fatalf("no end:\n%s", rows)
	return ""
}

// judge ends the deployment of a story, for good or by going back. It returns
// when to judge again.
func (w *world) judge(deploy spec.Deploy, plan rollout.Plan) (rollout.Outcome, time.Time) {
	if w.goal.Revision == w.goal.Base {
		return rollout.Going, time.Time{}
	}
	progress, verdict := rollout.Judge(w.progress, deploy, plan, w.now)
	w.progress = progress
	switch verdict.Outcome {
	case rollout.Failed:
		w.goal.Revision, w.progress = w.goal.Base, rollout.Progress{}
		w.events = append(w.events, "FAILED: "+verdict.Reason)
	case rollout.Done:
		w.goal.Base, w.progress = w.goal.Revision, rollout.Progress{}
		w.events = append(w.events, "DONE")
	case rollout.Going:
		return rollout.Going, progress.Due(deploy)
	}
	return verdict.Outcome, time.Time{}
}

func planText(p rollout.Plan) string {
	if !p.Acts() {
		return ""
	}
	return p.String()
}

// soonest returns the first of times that is known, and now if that is over.
func soonest(now time.Time, times ...time.Time) time.Time {
	var first time.Time
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.Before(now) {
		return now
	}
	return first
}

// table is rows of cells; the first row is its head.
type table [][]string

// String sets the cells in columns.
func (t table) String() string {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, text := range row {
			widths[i] = max(widths[i], len(text))
		}
	}
	var out strings.Builder
	for _, row := range t {
		line := fmt.Sprintf("%*s", widths[0], row[0])
		for i, text := range row[1:] {
			line += fmt.Sprintf("  %-*s", widths[i+1], text)
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: run with -update if this is meant\n got:\n%s\nwant:\n%s", path, got, want)
	}
}
