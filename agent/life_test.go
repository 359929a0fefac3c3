package agent_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/wire"
)

func TestAServiceRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Obeys: 3 * time.Second}), func(w *world) {
		w.run(service(), "web-1")
		w.want("web-1", "ready 1")
		w.pass(time.Hour)
		w.want("web-1", "ready 1")

		w.stop("web-1", 10*time.Second)
		w.want("web-1", "stopping 1")
		w.pass(3 * time.Second)
		w.want("web-1", "stopped 1")
		w.forget("web-1")

		w.pass(time.Hour)
		w.restart()
		if _, tasks := w.lastJoin(); len(tasks) != 0 {
			w.Errorf("a forgotten task is in the join: %v", tasks)
		}
		if n := w.runtime.starts(); n != 1 {
			w.Errorf("%d starts", n)
		}
	})
}

// TestBackoff: 1 s doubling to 5 min, and from the start again after ten good
// minutes.
func TestBackoff(t *testing.T) {
	t.Parallel()
	attempts := map[int]time.Duration{12: 11 * time.Minute}
	script := func(launch runtime.Launch) fake.Play {
		lives := attempts[launch.Key.Attempt]
		if lives == 0 {
			lives = time.Second
		}
		return fake.Play{Lives: lives, Exit: runtime.Exit{Code: 1, LastLines: []string{"it broke"}}}
	}
	inWorld(t, script, func(w *world) {
		w.run(service(), "web-1")
		want := []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1, 2}

		for i, seconds := range want {
			wait := time.Duration(seconds) * time.Second
			w.pass(max(time.Second, attempts[i+1])) // the program lives so long
			status := w.status("web-1")
			if status.GetAttempt() != int32(i+1) || w.known("web-1")[:7] != "backoff" || status.GetLast().GetCode() != 1 {
				w.Fatalf("attempt %d: %v", i+1, status)
			}
			if pause := status.GetRetryAt().AsTime().Sub(status.GetSince().AsTime()); pause != wait {
				w.Errorf("after attempt %d it waits for %v, want %v", i+1, pause, wait)
			}
			w.pass(wait - 1)
			if n := w.runtime.starts(); n != i+1 {
				w.Fatalf("%d starts before it is time, want %d", n, i+1)
			}
			w.pass(1)
			if n := w.runtime.starts(); n != i+2 {
				w.Fatalf("%d starts when it is time, want %d", n, i+2)
			}
		}
		if logs := w.status("web-1").GetLast().GetLastLogs(); !slices.Equal(logs, []string{"it broke"}) {
			w.Errorf("last lines %q", logs)
		}
	})
}

// TestTheSoonestIsDueFirst: a task that waits for long holds up no other.
func TestTheSoonestIsDueFirst(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Refused: runtime.ErrNotFound}), func(w *world) {
		w.run(service(), "web-1")
		w.pass(10 * time.Minute) // its pause is of minutes now
		w.run(service(), "web-2")
		w.run(service(), "web-3")

		w.pass(time.Second)

		w.want("web-2", "backoff 2")
		w.want("web-3", "backoff 2")
	})
}

// TestARestartKeepsWhatTheTaskHolds: the same ports and the same claim.
func TestARestartKeepsWhatTheTaskHolds(t *testing.T) {
	t.Parallel()
	var launches []runtime.Launch
	script := func(launch runtime.Launch) fake.Play {
		launches = append(launches, launch)
		return fake.Play{Lives: time.Minute}
	}
	inWorld(t, script, func(w *world) {
		orders := runOrders(service(), "web-1")
		orders.Run[0].Ports = map[string]int32{"http": int32(freePort(t))}
		orders.Run[0].Resources = wire.FromVector(service().Resources)

		w.order(orders)
		w.pass(61 * time.Second)
		w.restart()
		w.pass(63 * time.Second)

		if len(launches) != 3 {
			w.Fatalf("%d launches", len(launches))
		}
		for i, launch := range launches {
			if launch.Env["PORT_HTTP"] != launches[0].Env["PORT_HTTP"] || launch.CPUMillis != launches[0].CPUMillis ||
				launch.MemoryBytes != launches[0].MemoryBytes || launch.CPUMillis == 0 || launch.Sandbox != launches[0].Sandbox ||
				launch.Env["ALOFT_ATTEMPT"] != strconv.Itoa(i+1) {
				w.Errorf("launch %d is %+v, the first was %+v", i+1, launch, launches[0])
			}
		}
	})
}

func TestJobsAreNotStartedAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		play  fake.Play
		state string
	}{
		"a good exit":         {fake.Play{Lives: time.Minute}, "finished 1"},
		"a bad exit":          {fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 3}}, "failed 1"},
		"a signal":            {fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: -1, Signal: 11}}, "failed 1"},
		"out of memory":       {fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: -1, Signal: 9, OOM: true}}, "failed 1"},
		"at once":             {fake.Play{Lives: -1}, "finished 1"},
		"it cannot start":     {fake.Play{Refused: runtime.ErrNotFound}, "failed 1"},
		"the kernel refuses":  {fake.Play{Lives: -1, Exit: runtime.Exit{Code: -1, StartError: "no interpreter"}}, "failed 1"},
		"it needs no program": {fake.Play{Refused: errors.New("no such thing")}, "failed 1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, always(tc.play), func(w *world) {
				w.run(job(), "copy-1")
				w.pass(time.Hour)

				w.want("copy-1", tc.state)
				if n := w.runtime.starts(); n != 1 {
					w.Errorf("%d starts", n)
				}
				exit := w.status("copy-1").GetLast()
				if exit.GetCode() != int32(tc.play.Exit.Code) && tc.play.Refused == nil || exit.GetOom() != tc.play.Exit.OOM {
					w.Errorf("exit %v", exit)
				}
				if tc.play.Refused != nil {
					contains(w, exit.GetError(), tc.play.Refused.Error())
				}
				if tc.play.Exit.StartError != "" {
					contains(w, exit.GetError(), tc.play.Exit.StartError)
				}
			})
		})
	}
}

// TestWhatTheKernelRefusesIsNeverReady, not for a moment: a good instance would be
// stopped for it.
func TestWhatTheKernelRefusesIsNeverReady(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: -1, Exit: runtime.Exit{Code: -1, StartError: "exec format error"}}), func(w *world) {
		w.run(service(), "web-1")
		w.pass(time.Minute)

		story := strings.Join(w.story("web-1"), ", ")
		if strings.Contains(story, "ready") || strings.Contains(story, "running") || !strings.Contains(story, "backoff 2") {
			w.Errorf("its story: %s", story)
		}
		contains(w, w.status("web-1").GetLast().GetError(), "exec format error")
	})
}

// TestTheRuntimeForgetsWhatTheDiskKnows: exits are given until then.
func TestTheRuntimeForgetsWhatTheDiskKnows(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: -1}), func(w *world) {
		w.run(job(), "copy-1", "copy-2", "copy-3")

		if list := w.programs(); len(list) != 0 {
			w.Errorf("the runtime still has %v", list)
		}
		for _, name := range []string{"copy-1", "copy-2", "copy-3"} {
			w.want(name, "finished 1")
		}
	})
}

// TestAnExitBeforeItsStartIsKnown: the runtime tells of the end while Start has
// not returned.
func TestAnExitBeforeItsStartIsKnown(t *testing.T) {
	t.Parallel()
	for _, kind := range []spec.Kind{spec.Job, spec.Service} {
		inWorld(t, always(fake.Play{Lives: -1, Exit: runtime.Exit{Code: 4}}), func(w *world) {
			w.runtime.setLate(time.Second)
			w.run(specOf(kind), "web-1")
			if w.runtime.starts() != 0 {
				w.Fatal("Start has returned")
			}

			ended := w.known("web-1")
			w.pass(time.Second)

			if want := map[spec.Kind]string{spec.Job: "failed 1", spec.Service: "backoff 1"}[kind]; ended != want {
				w.Errorf("it was %s before Start returned, want %s", ended, want)
			}
			if code := w.status("web-1").GetLast().GetCode(); code != 4 {
				w.Errorf("exit code %d", code)
			}
			if kind == spec.Service {
				w.pass(500 * time.Millisecond)
				if status := w.status("web-1"); status.GetFailures() != 1 && status.GetFailures() != 2 {
					w.Errorf("the exit counted %d times", status.GetFailures())
				}
			}
		})
	}
}

// TestAnExitThatComesTwiceCountsOnce: the fake runtime tells all exits again to
// whoever connects anew.
func TestAnExitThatComesTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Second, Exit: runtime.Exit{Code: 1}}), func(w *world) {
		w.runtime.forgetful = true // it never forgets, and tells each exit again
		w.run(service(), "web-1")
		w.pass(time.Second)
		w.want("web-1", "backoff 1")

		w.runtime.again(runtime.Exit{Key: runtime.Key{Task: "web-1", Attempt: 1}, Code: 1, At: time.Now()})
		w.want("web-1", "backoff 1")
		w.pass(time.Second)
		w.want("web-1", "ready 2")
		w.runtime.again(runtime.Exit{Key: runtime.Key{Task: "web-1", Attempt: 1}, Code: 1, At: time.Now()})
		w.runtime.again(runtime.Exit{Key: runtime.Key{Task: "nobody", Attempt: 7}, At: time.Now()})

		w.want("web-1", "ready 2")
		if failures := w.status("web-1").GetFailures(); failures != 1 {
			w.Errorf("%d failures, want 1", failures)
		}
	})
}
