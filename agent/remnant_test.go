package agent_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestAProgramWithoutATaskFile is ended, and the master hears of it until then:
// its claim must not go to another one while it runs.
func TestAProgramWithoutATaskFile(t *testing.T) {
	t.Parallel()
	tests := map[string]func(w *world){
		"the folder was removed": func(w *world) {
			if err := os.RemoveAll(w.file("web-1")); err != nil {
				w.Fatal(err)
			}
		},
		"the file is garbage": func(w *world) { write(w, w.file("web-1", "task.pb"), "\xff garbage") },
		"the file is empty":   func(w *world) { write(w, w.file("web-1", "task.pb"), "") },
		"the file is another's": func(w *world) {
			other, err := os.ReadFile(w.file("web-2", "task.pb"))
			if err != nil {
				w.Fatal(err)
			}
			write(w, w.file("web-1", "task.pb"), string(other))
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, always(fake.Play{Obeys: 3 * time.Second}), func(w *world) {
				w.run(service(), "web-1", "web-2")
				w.end()
				damage(w)

				w.begin()

				if _, tasks := w.lastJoin(); tasks["web-1"] != "stopping 1" || tasks["web-2"] != "ready 1" {
					w.Errorf("the first join says %v", tasks)
				}
				contains(w, w.log.String(), "level=ERROR")
				if _, err := os.Stat(w.file("web-1", "task.pb.damaged")); (err == nil) != strings.HasPrefix(name, "the file") {
					w.Errorf("what was damaged is not put aside: %v", err)
				}
				w.pass(3 * time.Second)
				w.want("web-1", "stopped 1")
				w.forget("web-1")
				if got := w.running(); !slices.Equal(got, []string{"web-2.1"}) {
					w.Errorf("running %v", got)
				}
				w.restart()
				if _, tasks := w.lastJoin(); len(tasks) != 1 {
					w.Errorf("the next join says %v", tasks)
				}
			})
		})
	}
}

// TestASupervisorWithoutMemory: what the files call running is not there.
func TestASupervisorWithoutMemory(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.run(job(), "copy-1")
		w.end()
		w.runtime.Runtime = fake.New(nil)

		w.begin()

		w.want("web-1", "backoff 1")
		w.want("copy-1", "failed 1")
		contains(w, w.status("web-1").GetLast().GetError(), "supervisor")
	})
}

// TestAStopThatNobodyCanCarryOut ends the task all the same: no exit will come.
func TestAStopThatNobodyCanCarryOut(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.runtime.Runtime = fake.New(nil)

		w.stop("web-1", time.Second)

		w.want("web-1", "stopped 1")
		contains(w, w.log.String(), "task not stopped")
	})
}

func TestStatesThatNoAgentHas(t *testing.T) {
	t.Parallel()
	for _, state := range []pb.TaskState{pb.TaskState_TASK_STATE_PENDING, pb.TaskState_TASK_STATE_DRAINING, pb.TaskState_TASK_STATE_LOST, 99} {
		inWorld(t, always(fake.Play{Refused: runtime.ErrNotFound}), func(w *world) {
			w.run(service(), "web-1", "web-2")
			w.end()
			change(w, w.file("web-1", "task.pb"), func(kept *pb.KeptTask) { kept.Status.State = state })

			w.begin()

			if _, tasks := w.lastJoin(); len(tasks) != 1 || tasks["web-2"] == "" {
				w.Errorf("state %v: the first join says %v", state, tasks)
			}
			contains(w, w.log.String(), "task file cannot be read")
			if _, err := os.Stat(w.file("web-1", "task.pb.damaged")); err == nil {
				w.Errorf("state %v: a task that nobody runs is still there", state)
			}
		})
	}
}

// TestProgramsThatShouldHaveEnded are ended by the agent that finds them.
func TestProgramsThatShouldHaveEnded(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*pb.KeptTask){
		"of an ended task":       func(kept *pb.KeptTask) { kept.Status.State = pb.TaskState_TASK_STATE_FAILED },
		"of an earlier attempt":  func(kept *pb.KeptTask) { kept.Status.Attempt = 2 },
		"of a task that stopped": func(kept *pb.KeptTask) { kept.Status.State = pb.TaskState_TASK_STATE_STOPPED },
	}
	for name, age := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				w.run(service(), "web-1")
				w.end()
				change(w, w.file("web-1", "task.pb"), age)

				w.begin()

				if got := w.running(); slices.ContainsFunc(got, func(key string) bool { return strings.HasSuffix(key, ".1") }) {
					w.Errorf("running %v", got)
				}
			})
		})
	}
}
