package engine_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/task"
)

// TestReboot has a machine start anew in all ways that its agent may tell of it.
// What died with the machine is replaced at once; what the agent has started again
// since, or has not begun, goes on.
func TestReboot(t *testing.T) {
	t.Parallel()
	ready := func(w *world) {
		w.deploy(web("s", "ok", 1))
		w.pass(5 * time.Second)
	}
	ordered := func(w *world) { w.deploy(web("s", "ok", 1)) }
	working := func(w *world) {
		w.deploy(job("s", "long", 1))
		w.pass(5 * time.Second)
	}
	nothing := func(*world, map[string]task.Status) {}
	says := func(status task.Status) func(*world, map[string]task.Status) {
		return func(w *world, told map[string]task.Status) {
			status.Since = w.now
			told["s-1-1"] = status
		}
	}
	tests := map[string]struct {
		given func(*world)
		told  func(*world, map[string]task.Status)
		want  task.State
	}{
		"a ready instance, of which it knows nothing":  {ready, nothing, task.Lost},
		"a ready instance, which it will start again":  {ready, says(task.Status{State: task.Backoff, Attempt: 1, Failures: 1}), task.Lost},
		"a ready instance, which it has started again": {ready, says(task.Status{State: task.Ready, Attempt: 2, Failures: 1}), task.Ready},
		"an order that it never got":                   {ordered, nothing, task.Lost},
		"an order that it has not begun":               {ordered, says(task.Status{State: task.Assigned}), task.Assigned},
		"a copy, of which it knows nothing":            {working, nothing, task.Lost},
		"a copy that ended with the machine":           {working, says(task.Status{State: task.Failed, Attempt: 1}), task.Lost},
		"a copy that had done its work":                {working, says(task.Status{State: task.Finished, Attempt: 1}), task.Finished},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addAgent("a1", 8)
			tc.given(w)
			m := w.machines["a1"]
			m.connected = false // what it says is said by hand
			told := make(map[string]task.Status)
			tc.told(w, told)
			joined := engine.AgentJoined{Agent: m.agent, BootID: "another"}
			for _, status := range told {
				joined.Tasks = append(joined.Tasks, engine.Report{Task: "s-1-1", Status: status})
			}

			w.step(joined)
			w.commit()

			if state := w.engine.Task("s-1-1").Status.State; state != tc.want {
				t.Errorf("the task is %s, want %s\n%s", state, tc.want, w.story.String())
			}
			live, _ := w.engine.Tasks("s")
			if replaced := len(live) == 1 && live[0].ID == "s-1-2"; replaced != (tc.want == task.Lost) {
				t.Errorf("there is %s", w.status("s"))
			}
			if next := w.engine.Task("s-1-2"); next != nil && next.Retry != 0 {
				t.Errorf("a reboot counts as a failure of the program: %+v", next)
			}
		})
	}
}
