package agent_test

import (
	"cmp"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestANewAgentGoesOnWhereTheLastOneEnded: nothing is done at the end of an
// agent, so that ending it is like killing it.
func TestANewAgentGoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		play   fake.Play
		spec   *spec.Spec
		first  func(w *world) // with the first agent
		away   time.Duration  // no agent is there
		join   string         // what the second says first
		later  string         // an hour later
		starts int
	}{
		"a ready task stays ready": {
			spec: service(), join: "ready 1", later: "ready 1", starts: 1,
		},
		"one with a probe stays ready before the first answer": {
			spec: service(readyByFile),
			first: func(w *world) {
				touch(w, w.file("web-1", "sandbox", "ready"))
				w.pass(time.Second)
				w.want("web-1", "ready 1")
			},
			join: "ready 1", later: "ready 1", starts: 1,
		},
		"one that is not ready stays so": {
			spec: service(readyByFile), join: "running 1", later: "running 1", starts: 1,
		},
		"one that ended meanwhile": {
			play: fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 3}},
			spec: service(), away: time.Hour,
			join: "backoff 1", later: "backoff 17", starts: 17,
		},
		"a copy of a job that ended meanwhile": {
			play: fake.Play{Lives: time.Minute},
			spec: job(), away: time.Hour,
			join: "finished 1", later: "finished 1", starts: 1,
		},
		"one in backoff is started at its time": {
			play: fake.Play{Refused: runtime.ErrNotFound},
			spec: service(), away: time.Millisecond,
			join: "backoff 1", later: "backoff 20", starts: 20,
		},
		"one in backoff whose time has passed": {
			play: fake.Play{Refused: runtime.ErrNotFound},
			spec: service(), away: time.Hour,
			join: "backoff 1 or starting 2 or backoff 2", later: "backoff 20", starts: 20,
		},
		"one that is being stopped": {
			play:  fake.Play{Obeys: time.Minute},
			spec:  service(),
			first: func(w *world) { w.stop("web-1", time.Hour) },
			join:  "stopping 1", later: "stopped 1", starts: 1,
		},
		"one that was being stopped and ended meanwhile": {
			play:  fake.Play{Obeys: time.Minute},
			spec:  service(),
			first: func(w *world) { w.stop("web-1", time.Hour) },
			away:  time.Hour,
			join:  "stopped 1", later: "stopped 1", starts: 1,
		},
		"one that has ended": {
			play: fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 3}},
			spec: job(), first: func(w *world) { w.pass(time.Hour) },
			join: "failed 1", later: "failed 1", starts: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, always(tc.play), func(w *world) {
				w.run(tc.spec, "web-1")
				if tc.first != nil {
					tc.first(w)
				}

				w.end()
				w.pass(tc.away)
				w.begin()

				if _, tasks := w.lastJoin(); !strings.Contains(tc.join, cmp.Or(tasks["web-1"], "unknown")) {
					w.Errorf("the first join says %q, want %q", tasks["web-1"], tc.join)
				}
				w.pass(time.Hour)
				w.want("web-1", tc.later)
				if n := w.runtime.starts(); n != tc.starts {
					w.Errorf("%d starts, want %d", n, tc.starts)
				}
				if len(w.runtime.startedTwice()) > 0 {
					w.Errorf("started twice: %v", w.runtime.startedTwice())
				}
			})
		})
	}
}

// TestAnAgentKilledWhileItFetches: the attempt was not started, so the next
// agent starts it.
func TestAnAgentKilledWhileItFetches(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.fetcher.hold = make(chan struct{})
		w.run(service(fetching("artifact.txt")), "web-1")
		w.want("web-1", "starting 1")

		w.restart()

		w.want("web-1", "starting 1")
		close(w.fetcher.hold)
		w.pass(0)
		w.want("web-1", "ready 1")
		if failures := w.status("web-1").GetFailures(); failures != 0 {
			w.Errorf("%d failures, and it did nothing wrong", failures)
		}
	})
}

// TestAnAgentKilledWhileItStarts: the program runs, and nobody was told.
func TestAnAgentKilledWhileItStarts(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.runtime.setLate(time.Second)
		w.run(service(), "web-1")
		w.want("web-1", "starting 1")

		w.restart()

		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 1" {
			w.Errorf("the first join says %v", tasks)
		}
		if n := w.runtime.starts(); n != 1 {
			w.Errorf("%d starts", n)
		}
	})
}

// TestAMachineKilledWhileAProgramStarts: the attempt may have run, and nobody knows any
// more. It is not made again; the next one is.
func TestAMachineKilledWhileAProgramStarts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec        *spec.Spec
		join, later string
	}{
		"of a service": {service(), "backoff 1", "ready 2"},
		"of a job":     {job(), "failed 1", "failed 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				w.runtime.setLate(time.Second)
				w.run(tc.spec, "web-1")
				w.want("web-1", "starting 1")
				w.end()
				anew := newRecorder(nil)
				ctx, stop := context.WithCancel(context.Background()) // one of the bubble
				defer stop()
				go func() { _ = anew.Run(ctx) }()
				w.over, w.cfg.BootID = anew, "another boot"

				w.begin()

				if _, tasks := w.lastJoin(); tasks["web-1"] != tc.join {
					w.Errorf("the first join says %q, want %q", tasks["web-1"], tc.join)
				}
				w.pass(time.Minute)
				w.want("web-1", tc.later)
				w.restart()
				w.want("web-1", tc.later)
				w.end()
			})
		})
	}
}

// TestTheLastFileWasNotWritten: the disk was full when an attempt began, and
// only the runtime knows of it.
func TestTheLastFileWasNotWritten(t *testing.T) {
	t.Parallel()
	play := fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 1}}
	inWorld(t, always(play), func(w *world) {
		w.run(service(), "web-1")
		w.pass(time.Minute)
		w.want("web-1", "backoff 1")
		before, err := os.ReadFile(w.file("web-1", "task.pb"))
		if err != nil {
			w.Fatal(err)
		}
		w.pass(time.Second)
		w.want("web-1", "ready 2")
		w.end()
		if err := os.WriteFile(w.file("web-1", "task.pb"), before, 0o600); err != nil {
			w.Fatal(err)
		}

		w.begin()

		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 2" {
			w.Errorf("the first join says %v", tasks)
		}
		if n := w.runtime.starts(); n != 2 {
			w.Errorf("%d starts", n)
		}
	})
}

func TestAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Refused: runtime.ErrNotFound}), func(w *world) {
		w.run(service(), "web-1")
		w.want("web-1", "backoff 1")
		w.end()
		change(w, w.file("web-1", "task.pb"), func(kept *pb.KeptTask) {
			kept.GetStatus().GetRetryAt().Seconds += 365 * 24 * 3600
		})

		w.begin()
		w.pass(time.Second)

		w.want("web-1", "backoff 2")
	})
}

// TestAnAssignedTaskOnDisk is begun: an agent was killed before it did.
func TestAnAssignedTaskOnDisk(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.fetcher.hold = make(chan struct{})
		w.run(service(fetching("artifact.txt")), "web-1")
		w.end()
		close(w.fetcher.hold)
		change(w, w.file("web-1", "task.pb"), func(kept *pb.KeptTask) {
			kept.Status.State, kept.Status.Attempt = pb.TaskState_TASK_STATE_ASSIGNED, 0
		})

		w.begin()

		w.want("web-1", "ready 1")
	})
}
