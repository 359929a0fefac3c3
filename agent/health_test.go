package agent_test

import (
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func TestReadyFollowsItsProbe(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(readyByFile), "web-1")
		w.pass(time.Minute)
		w.want("web-1", "running 1")
		contains(w, w.status("web-1").GetReason(), "not ready: command probe: test: exit status 1")

		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(30 * time.Second)
		w.want("web-1", "ready 1")

		remove(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)
		w.want("web-1", "ready 1") // two bad answers are not enough
		w.pass(30 * time.Second)
		w.want("web-1", "running 1")
		contains(w, w.status("web-1").GetReason(), "not ready")

		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(30 * time.Second)
		w.want("web-1", "ready 1")
		if reason := w.status("web-1").GetReason(); reason != "" {
			w.Errorf("ready, and yet %q", reason)
		}
	})
}

// TestTheCommandOfAProbe has the task's variables, and may say much.
func TestTheCommandOfAProbe(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		asking := func(command ...string) func(*spec.Spec) {
			return func(s *spec.Spec) {
				readyByFile(s)
				s.Ready.Command, s.Run.Env = command, map[string]string{"NAME": "of ${ALOFT_TASK_ID}"}
			}
		}

		w.run(service(asking("test", "${NAME}", "=", "of web-1")), "web-1")
		w.run(service(asking("sh", "-c", `test "$NAME" = "of web-2" && test "$PWD" = "$ALOFT_SANDBOX"`)), "web-2")
		w.run(service(asking("sh", "-c", `printf '\377'; head -c 100000 /dev/zero | tr '\0' x; exit 7`)), "web-3")
		w.run(service(asking("no-such-program")), "web-4")
		w.run(service(asking("echo", "${MISSING}")), "web-5")
		w.pass(time.Second)

		w.want("web-1", "ready 1")
		w.want("web-2", "ready 1")
		reason := w.status("web-3").GetReason()
		if contains(w, reason, "exit status 7"); len(reason) > 700 || !utf8.ValidString(reason) {
			w.Errorf("reason of %d bytes: %q", len(reason), reason)
		}
		contains(w, w.status("web-4").GetReason(), "not found")
		contains(w, w.status("web-5").GetReason(), "${MISSING} is not set")
	})
}

// TestAFastProgramIsInServiceFast: until it is ready it is asked often.
func TestAFastProgramIsInServiceFast(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(readyByFile), "web-1")
		touch(w, w.file("web-1", "sandbox", "ready"))

		w.pass(25 * time.Millisecond)

		w.want("web-1", "ready 1")
	})
}

// TestABadAnswerAfterTheAgentsRestart does not take a ready task out of
// service; bad ones in a row do.
func TestABadAnswerAfterTheAgentsRestart(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(readyByFile), "web-1")
		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)
		remove(w, w.file("web-1", "sandbox", "ready"))

		w.restart()
		w.pass(50 * time.Millisecond)
		w.want("web-1", "ready 1")
		w.pass(2 * time.Minute)

		w.want("web-1", "running 1")
	})
}

// onEach returns a daemon, which its agent starts anew by itself when it is not
// alive: another one cannot take its place before it has stopped.
func onEach(edits ...func(*spec.Spec)) *spec.Spec {
	return service(append(edits, func(s *spec.Spec) { s.Kind = spec.Daemon })...)
}

// TestATaskThatIsNotAlive leaves the routing table first, is stopped a while
// later, and is started again.
func TestATaskThatIsNotAlive(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		drain, waits time.Duration
	}{
		"a short drain": {3 * time.Second, 3 * time.Second},
		"a long drain":  {time.Minute, 10 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				w.run(onEach(aliveByFile, func(s *spec.Spec) { s.Deploy.Drain = tc.drain }), "web-1")
				w.pass(time.Minute)
				touch(w, w.file("web-1", "sandbox", "hung"))
				unready := w.await("web-1", "running 1")

				ended := w.await("web-1", "backoff 1")

				if got := ended.Sub(unready); got != tc.waits {
					w.Errorf("it was stopped after %v, want %v", got, tc.waits)
				}
				status := w.status("web-1")
				contains(w, status.GetLast().GetError(), "not alive: command probe")
				if status.GetFailures() != 1 || status.GetLast().GetSignal() != 15 {
					w.Errorf("status %v", status)
				}
				remove(w, w.file("web-1", "sandbox", "hung"))
				w.pass(time.Minute)
				w.want("web-1", "ready 2")
				touch(w, w.file("web-1", "sandbox", "hung"))
				w.await("web-1", "backoff 2") // the second attempt is watched as well
			})
		})
	}
}

// TestAVerdictIsOfItsAttempt: the next one may end for another reason.
func TestAVerdictIsOfItsAttempt(t *testing.T) {
	t.Parallel()
	script := func(launch runtime.Launch) fake.Play {
		if launch.Key.Attempt == 1 {
			return fake.Play{}
		}
		return fake.Play{Lives: time.Second, Exit: runtime.Exit{Code: 9}}
	}
	inWorld(t, script, func(w *world) {
		w.run(onEach(aliveByFile), "web-2")
		w.pass(time.Minute)
		touch(w, w.file("web-2", "sandbox", "hung"))
		w.await("web-2", "backoff 1")

		w.await("web-2", "backoff 2")

		if exit := w.status("web-2").GetLast(); exit.GetCode() != 9 || exit.GetError() != "" {
			w.Errorf("exit %v", exit)
		}
	})
}

// TestWhatIsNotAliveEndsByItself before it is stopped: that moment means nothing
// to the attempts after it.
func TestWhatIsNotAliveEndsByItself(t *testing.T) {
	t.Parallel()
	script := func(launch runtime.Launch) fake.Play {
		if launch.Key.Attempt == 1 {
			return fake.Play{Lives: 121 * time.Second}
		}
		return fake.Play{Lives: -1}
	}
	inWorld(t, script, func(w *world) {
		w.run(onEach(aliveByFile), "web-1")
		w.pass(time.Minute - time.Second)
		touch(w, w.file("web-1", "sandbox", "hung"))
		w.pass(62 * time.Second) // it was found not alive after 120 s, would be stopped after 130 s, and ends after 121 s
		w.want("web-1", "backoff 1")
		contains(w, w.status("web-1").GetLast().GetError(), "not alive")

		w.pass(14 * time.Second) // attempts after 1, 3 and 7 s; the next after 15 s

		w.want("web-1", "backoff 4")
		w.pass(time.Second)
		w.want("web-1", "backoff 5")
	})
}

// TestWhatIsNotAliveDoesNotComeBack: it is on its way out, though its ready
// probe finds it good again.
func TestWhatIsNotAliveDoesNotComeBack(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		often := func(s *spec.Spec) { s.Ready.Every = time.Second }
		w.run(onEach(readyByFile, often, aliveByFile), "web-1")
		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)
		remove(w, w.file("web-1", "sandbox", "ready"))
		touch(w, w.file("web-1", "sandbox", "hung"))
		for !strings.Contains(w.status("web-1").GetReason(), "not alive") {
			w.pass(time.Second)
		}

		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(9 * time.Second)

		w.want("web-1", "running 1")
		contains(w, w.status("web-1").GetReason(), "not alive")
	})
}

// await lets time pass until the master knows a task to be in a state, and
// returns when it heard of it first.
func (w *world) await(name, state string) time.Time {
	w.Helper()
	for range 10_000 {
		if w.known(name) == state {
			return w.status(name).GetSince().AsTime()
		}
		if story := w.story(name); len(story) > 1 && story[len(story)-2] == state {
			w.Fatalf("missed %s", state)
		}
		w.pass(100 * time.Millisecond)
	}
	w.Fatalf("task %s never was %s: %v", name, state, w.story(name))
	return time.Time{}
}

// TestAProgramThatNeverLives is ended when the deployment's deadline is over.
func TestAProgramThatNeverLives(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		hung := func(s *spec.Spec) { s.Run.Env = map[string]string{"HUNG": "yes"} }
		never := func(s *spec.Spec) { s.Alive.Command = []string{"test", "${HUNG}", "=", "no"} }
		w.run(onEach(readyByFile, hung, aliveByFile, never), "web-1")

		w.pass(5*time.Minute - time.Second)
		w.want("web-1", "running 1")
		w.pass(2 * time.Minute)

		w.want("web-1", "running 2")
		contains(w, w.status("web-1").GetLast().GetError(), "not alive")
	})
}

// TestAJobThatNeverLives has no deployment with a deadline.
func TestAJobThatNeverLives(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		s := job()
		aliveByFile(s)
		s.Alive.Command = []string{"false"}
		w.run(s, "copy-1")

		w.pass(5*time.Minute - time.Second)
		w.want("copy-1", "ready 1")
		w.pass(2 * time.Minute)

		w.want("copy-1", "failed 1")
		contains(w, w.status("copy-1").GetLast().GetError(), "not alive")
	})
}

// TestAnotherAgentJudgesWhatIsNotAlive: it has as much patience left as the
// first one had.
func TestAnotherAgentJudgesWhatIsNotAlive(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(onEach(aliveByFile), "web-1")
		w.pass(time.Hour)
		touch(w, w.file("web-1", "sandbox", "hung"))

		w.restart()
		w.pass(2 * time.Minute)

		contains(w, w.status("web-1").GetLast().GetError(), "not alive")
	})
}

func TestProbesEndWithAStop(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Obeys: time.Hour}), func(w *world) {
		w.run(service(readyByFile, aliveByFile), "web-1")
		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)
		w.want("web-1", "ready 1")

		w.stop("web-1", 2*time.Hour)
		remove(w, w.file("web-1", "sandbox", "ready"))
		touch(w, w.file("web-1", "sandbox", "hung"))
		w.pass(59 * time.Minute)
		w.want("web-1", "stopping 1")
		w.pass(time.Minute)

		w.want("web-1", "stopped 1")
		if reason := w.status("web-1").GetReason(); strings.Contains(reason, "alive") {
			w.Errorf("reason %q", reason)
		}
	})
}

// TestAStopOfWhatIsNotAlive: the order comes while it waits to be stopped.
func TestAStopOfWhatIsNotAlive(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(onEach(aliveByFile), "web-1")
		w.pass(time.Minute)
		touch(w, w.file("web-1", "sandbox", "hung"))
		w.await("web-1", "running 1")

		w.stop("web-1", time.Second)
		w.pass(time.Hour)

		w.want("web-1", "stopped 1")
		if n := w.runtime.starts(); n != 1 {
			w.Errorf("%d starts", n)
		}
	})
}

func remove(t failer, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// sick runs a service's instance, lets a minute pass, and has it turn unhealthy
// while a master is there.
func (w *world) sick(edits ...func(*spec.Spec)) {
	w.Helper()
	w.run(service(append([]func(*spec.Spec){aliveByFile}, edits...)...), "web-1")
	w.pass(time.Minute)
	w.want("web-1", "ready 1")
	touch(w, w.file("web-1", "sandbox", "hung"))
	w.pass(2 * time.Minute)
}

// TestAnUnhealthyInstance is left to the master: it serves on, and is told to
// stop when another one has taken its place, or is alive again.
func TestAnUnhealthyInstance(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.sick()
		w.pass(time.Hour)
		w.want("web-1", "ready 1")
		if status := w.status("web-1"); !strings.Contains(status.GetUnhealthy(), "not alive: command probe") || status.GetUnhealthySince() == nil || status.GetReason() != "" {
			w.Errorf("status %v", status)
		}

		remove(w, w.file("web-1", "sandbox", "hung"))
		w.pass(time.Minute)
		w.want("web-1", "ready 1")
		if status := w.status("web-1"); status.GetUnhealthy() != "" || status.GetUnhealthySince() != nil {
			w.Errorf("alive again, and yet %v", status)
		}

		touch(w, w.file("web-1", "sandbox", "hung"))
		w.pass(2 * time.Minute)
		w.stop("web-1", time.Second)
		w.pass(time.Minute)
		w.want("web-1", "stopped 1")
		contains(w, w.status("web-1").GetUnhealthy(), "not alive")
		if n := w.runtime.starts(); n != 1 {
			w.Errorf("%d starts", n)
		}
	})
}

// TestAnUnhealthyInstanceKeepsItsReadyProbe: it leaves the routing table when it
// is not ready, and comes back when it is.
func TestAnUnhealthyInstanceKeepsItsReadyProbe(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(readyByFile, aliveByFile), "web-1")
		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)
		touch(w, w.file("web-1", "sandbox", "hung"))
		w.pass(2 * time.Minute)

		remove(w, w.file("web-1", "sandbox", "ready"))
		w.pass(2 * time.Minute)
		w.want("web-1", "running 1")
		contains(w, w.status("web-1").GetReason(), "not ready")
		touch(w, w.file("web-1", "sandbox", "ready"))
		w.pass(time.Minute)

		w.want("web-1", "ready 1")
		contains(w, w.status("web-1").GetUnhealthy(), "not alive")
	})
}

// TestAnUnhealthyInstanceWithoutAMaster is started anew by its agent once no
// master has been there for a while; it leaves the routing table first.
func TestAnUnhealthyInstanceWithoutAMaster(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.sick(func(s *spec.Spec) { s.Deploy.Drain = 5 * time.Second })
		w.leave(true)

		w.cut()
		w.pass(14 * time.Second)
		if n := w.runtime.starts(); n != 1 {
			w.Fatalf("it was started anew within the patience and the drain: %d starts", n)
		}
		remove(w, w.file("web-1", "sandbox", "hung"))
		w.pass(10 * time.Second)
		w.leave(false)
		w.pass(time.Minute)

		w.want("web-1", "ready 2")
		status := w.status("web-1")
		contains(w, status.GetLast().GetError(), "not alive: command probe")
		if status.GetUnhealthy() != "" || status.GetFailures() != 1 {
			w.Errorf("status %v", status)
		}
	})
}

// TestAnUnhealthyInstanceAndAChangeOfLeader: a master is back in a moment.
func TestAnUnhealthyInstanceAndAChangeOfLeader(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.sick()
		w.leave(true)
		w.cut()
		w.pass(5 * time.Second)
		w.leave(false)
		w.pass(3 * time.Second)
		w.order(&pb.Orders{})

		w.pass(time.Hour)

		w.want("web-1", "ready 1")
		contains(w, w.status("web-1").GetUnhealthy(), "not alive")
	})
}

// TestAMasterComesBackInTheMiddle of a restart: it goes on, for the instance has
// left the routing table already.
func TestAMasterComesBackInTheMiddle(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.sick()
		w.leave(true)
		w.cut()
		w.pass(12 * time.Second)
		w.leave(false)
		w.pass(4 * time.Second)
		w.order(&pb.Orders{})
		w.want("web-1", "running 1")
		contains(w, w.status("web-1").GetUnhealthy(), "not alive")
		remove(w, w.file("web-1", "sandbox", "hung"))

		w.pass(time.Minute)

		w.want("web-1", "ready 2")
		if w.status("web-1").GetUnhealthy() != "" {
			w.Errorf("status %v", w.status("web-1"))
		}
	})
}

// TestTheNextAgentKnowsWhatIsUnhealthy, though the program never answers it.
func TestTheNextAgentKnowsWhatIsUnhealthy(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.sick()

		w.restart()
		w.order(&pb.Orders{})
		w.pass(time.Hour)
		w.want("web-1", "ready 1")
		contains(w, w.status("web-1").GetUnhealthy(), "not alive")
		w.leave(true)
		w.cut()
		w.restart()
		w.pass(3 * time.Minute)

		if n := w.runtime.starts(); n < 2 {
			w.Errorf("without a master it was not started anew: %d starts", n)
		}
	})
}
