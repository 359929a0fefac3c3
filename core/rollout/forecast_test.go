package rollout_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

// running returns n ready instances of revision 1.
func running(n int) []rollout.Instance {
	seen := make([]rollout.Instance, n)
	for i := range seen {
		seen[i] = inst(id.Task(fmt.Sprintf("web-%d", i+1)), 1, task.Ready, since(time.Hour))
	}
	return seen
}

func TestForecast(t *testing.T) {
	t.Parallel()
	roll := rollout.Goal{Revision: 2, Base: 1, Instances: 3, Surge: 1, Settle: 5 * time.Second}
	tests := []struct {
		title string
		goal  rollout.Goal
		seen  []rollout.Instance
	}{
		{"a first deployment of 3", roll, nil},
		{"a roll of 3 with surge 1", roll, running(3)},
		{
			"a roll of 3 with unavailable 1",
			rollout.Goal{Revision: 2, Base: 1, Instances: 3, Unavailable: 1, Settle: 5 * time.Second},
			running(3),
		},
		{"a roll of 5 that is also scaled to 2", rollout.Goal{Revision: 2, Base: 1, Instances: 2, Surge: 1}, running(5)},
		{"a roll of 2 that is also scaled to 5", rollout.Goal{Revision: 2, Base: 1, Instances: 5, Surge: 2}, running(2)},
		{"scaling from 5 to 2", rollout.Goal{Revision: 1, Base: 1, Instances: 2, Surge: 1}, running(5)},
		{"nothing to change", rollout.Goal{Revision: 1, Base: 1, Instances: 3, Surge: 1}, running(3)},
		{"a paused deployment", rollout.Goal{Revision: 2, Base: 1, Instances: 3, Surge: 1, Paused: true}, running(3)},
		{"a roll in its middle, with one silent, one without room and one that just failed", roll, append(running(2),
			inst("web-3", 1, task.Ready, suspect), inst("web-4", 2, task.Pending, blocked),
			inst("web-5", 2, task.Failed, since(0)))},
	}
	var text strings.Builder
	for i, tc := range tests {
		steps := rollout.Forecast(tc.goal, tc.seen, noon)
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "%s: peak %d extra\n", tc.title, rollout.Peak(steps))
		rows := table{{"step", "start", "good", "claims", "extra", "stop"}}
		for n, s := range steps {
			rows = append(rows, []string{
				strconv.Itoa(n + 1), strconv.Itoa(s.Start), strconv.Itoa(s.Good), strconv.Itoa(s.Claims),
				strconv.Itoa(s.Extra), strings.Trim(fmt.Sprint(s.Stop), "[]"),
			})
		}
		text.WriteString(rows.String())
	}
	compareGolden(t, "forecast.txt", text.String())
}

// TestForecastLaws foresees the way from any world: what is there and what is
// started, without what is stopped, is what was wished for; nobody is stopped
// twice; and there are never more extra ones than the surge, but for what a
// forecast starts from.
func TestForecastLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			w.carryOut(step(t, w))
			disturb(t, w)
			w.pass(w.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond))
		}
		w.goal.Paused = false
		seen := w.seen()
		left := 0
		for _, i := range seen {
			left += number(i.State.Live())
		}

		steps := rollout.Forecast(w.goal, seen, w.now)

		stopped := map[id.Task]bool{}
		for _, s := range steps {
			left += s.Start - len(s.Stop)
			for _, name := range s.Stop {
				if stopped[name] {
					t.Fatalf("%s is stopped twice: %+v", name, steps)
				}
				stopped[name] = true
			}
		}
		if left != w.goal.Instances || rollout.Peak(steps) > w.goal.Surge {
			t.Fatalf("%d of %d instances, %d extra: %+v", left, w.goal.Instances, rollout.Peak(steps), steps)
		}
	})
}
