package task_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/task"
)

// play applies events and fails the test at the first that is refused.
func play(t rapid.TB, s task.Status, events ...task.Event) task.Status {
	t.Helper()
	for _, e := range events {
		next, err := task.Step(s, e)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		s = next
	}
	return s
}

func after(d time.Duration) time.Time { return noon.Add(d) }

func TestStep(t *testing.T) {
	t.Parallel()
	crash := &task.Exit{Code: 3, At: after(time.Minute), LastLogs: []string{"boom"}}
	ready := []task.Event{
		task.Assign{At: noon},
		task.Accept{At: noon, Attempt: 1},
		task.Start{At: noon},
		task.BecomeReady{At: noon},
	}
	tests := map[string]struct {
		events []task.Event
		want   task.Status
	}{
		"a blocked task waits on with the reason": {
			events: []task.Event{task.Block{At: after(time.Second), Reason: "pool web short of cpus"}},
			want:   task.Status{State: task.Pending, Since: noon, Reason: "pool web short of cpus"},
		},
		"a place takes the reason away": {
			events: []task.Event{task.Block{At: noon, Reason: "no room"}, task.Assign{At: after(time.Second)}},
			want:   task.Status{State: task.Assigned, Since: after(time.Second)},
		},
		"a pending task that is stopped ends at once": {
			events: []task.Event{task.Stop{At: after(time.Second), Reason: "scaled down"}},
			want:   task.Status{State: task.Stopped, Since: after(time.Second), Reason: "scaled down"},
		},
		"an exit is kept, and the next attempt waits a second": {
			events: append(ready[:4:4], task.End{At: after(time.Minute), Exit: crash, Again: true}),
			want: task.Status{
				State: task.Backoff, Since: after(time.Minute), Attempt: 1, Failures: 1,
				RetryAt: after(61 * time.Second), Last: crash, Reason: "exit code 3",
			},
		},
		"the agent may choose when to retry": {
			events: append(ready[:4:4], task.End{At: noon, Exit: crash, Again: true, RetryAt: after(time.Hour)}),
			want: task.Status{
				State: task.Backoff, Since: noon, Attempt: 1, Failures: 1,
				RetryAt: after(time.Hour), Last: crash, Reason: "exit code 3",
			},
		},
		"ten good minutes forget the failures before": {
			events: append(ready[:4:4],
				task.End{At: noon, Exit: crash, Again: true},
				task.Accept{At: noon, Attempt: 2}, task.Start{At: noon}, task.BecomeReady{At: noon},
				task.End{At: after(10 * time.Minute), Exit: crash, Again: true}),
			want: task.Status{
				State: task.Backoff, Since: after(10 * time.Minute), Attempt: 2, Failures: 1,
				RetryAt: after(10*time.Minute + time.Second), Last: crash, Reason: "exit code 3",
			},
		},
		"so do ten good minutes that end with a bad probe": {
			events: append(ready[:4:4],
				task.End{At: noon, Exit: crash, Again: true},
				task.Accept{At: noon, Attempt: 2}, task.Start{At: noon}, task.BecomeReady{At: noon},
				task.BecomeUnready{At: after(10 * time.Minute), Reason: "503"}),
			want: task.Status{
				State: task.Running, Since: after(10 * time.Minute), Attempt: 2, Last: crash, Reason: "503",
			},
		},
		"nine good minutes do not": {
			events: append(ready[:4:4],
				task.End{At: noon, Exit: crash, Again: true},
				task.Accept{At: noon, Attempt: 2}, task.Start{At: noon}, task.BecomeReady{At: noon},
				task.End{At: after(9 * time.Minute), Exit: crash, Again: true}),
			want: task.Status{
				State: task.Backoff, Since: after(9 * time.Minute), Attempt: 2, Failures: 2,
				RetryAt: after(9*time.Minute + 2*time.Second), Last: crash, Reason: "exit code 3",
			},
		},
		"what is not alive may serve on": {
			events: append(ready[:4:4], task.BecomeUnhealthy{At: after(time.Second), Reason: "hung"}),
			want: task.Status{
				State: task.Ready, Since: after(time.Second), Attempt: 1, ReadySince: noon,
				UnhealthySince: after(time.Second), Unhealthy: "hung",
			},
		},
		"it may be alive again": {
			events: append(ready[:4:4], task.BecomeUnhealthy{At: noon, Reason: "hung"}, task.BecomeHealthy{At: noon}),
			want:   task.Status{State: task.Ready, Since: after(2), Attempt: 1, ReadySince: noon},
		},
		"what was stopped says that it was not alive": {
			events: append(ready[:4:4], task.BecomeUnhealthy{At: after(time.Second), Reason: "hung"},
				task.Drain{At: after(time.Minute), Reason: "another takes its place"}, task.Stop{At: after(time.Minute)},
				task.End{At: after(2 * time.Minute), Exit: &task.Exit{Signal: 15}, Again: true}),
			want: task.Status{
				State: task.Stopped, Since: after(2 * time.Minute), Attempt: 1, Last: &task.Exit{Signal: 15},
				Reason: "another takes its place", UnhealthySince: after(time.Second), Unhealthy: "hung",
			},
		},
		"the next attempt is not known to be unhealthy": {
			events: append(ready[:4:4], task.BecomeUnhealthy{At: noon, Reason: "hung"}, task.End{At: after(time.Minute), Exit: crash, Again: true}),
			want: task.Status{
				State: task.Backoff, Since: after(time.Minute), Attempt: 1, Failures: 1,
				RetryAt: after(61 * time.Second), Last: crash, Reason: "exit code 3",
			},
		},
		"draining keeps when it became ready, stopping keeps why it drained": {
			events: append(ready[:4:4],
				task.Drain{At: after(time.Second), Reason: "replaced by revision 2"}, task.Stop{At: after(2 * time.Second)}),
			want: task.Status{
				State: task.Stopping, Since: after(2 * time.Second), Attempt: 1, ReadySince: noon,
				Reason: "replaced by revision 2",
			},
		},
		"an exit with code 0 after a stop is no aim reached": {
			events: append(ready[:4:4],
				task.Stop{At: noon, Reason: "job stopped"},
				task.End{At: after(time.Second), Exit: &task.Exit{}, Completes: true}),
			want: task.Status{
				State: task.Stopped, Since: after(time.Second), Attempt: 1, Last: &task.Exit{}, Reason: "job stopped",
			},
		},
		"a probe that turns bad at the very moment is still later": {
			events: append(ready[:4:4], task.BecomeUnready{At: noon, Reason: "503"}),
			want:   task.Status{State: task.Running, Since: after(1), Attempt: 1, Reason: "503"},
		},
		"a clock that goes back does not take Since along": {
			events: append(ready[:4:4], task.Drain{At: after(-time.Hour)}),
			want:   task.Status{State: task.Draining, Since: noon, Attempt: 1, ReadySince: noon},
		},
		"stopping in backoff takes the retry away": {
			events: append(ready[:4:4], task.End{At: noon, Exit: crash, Again: true}, task.Stop{At: noon, Reason: "enough"}),
			want: task.Status{
				State: task.Stopping, Since: noon, Attempt: 1, Failures: 1, Last: crash, Reason: "enough",
			},
		},
		"a program that never was is no good end": {
			events: []task.Event{task.Assign{At: noon}, task.End{At: noon, Completes: true}},
			want:   task.Status{State: task.Failed, Since: noon, Failures: 1, Reason: "no program was started"},
		},
		"a lost task says why": {
			events: append(ready[:4:4], task.Lose{At: after(time.Hour), Reason: "agent a1 silent for 1m"}),
			want: task.Status{
				State: task.Lost, Since: after(time.Hour), Attempt: 1, Reason: "agent a1 silent for 1m",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := play(t, task.Status{State: task.Pending, Since: noon}, tc.events...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Step (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStepDoesNotShareTheExit(t *testing.T) {
	t.Parallel()
	exit := &task.Exit{Code: 1}
	s := play(t, task.Status{State: task.Running}, task.End{At: noon, Exit: exit})
	exit.Code = 2
	if s.Last.Code != 1 {
		t.Errorf("the status follows the caller's exit: %v", s.Last)
	}
}

func TestMoveError(t *testing.T) {
	t.Parallel()
	_, err := task.Step(task.Status{State: task.Finished}, task.BecomeReady{At: noon})

	move, ok := errors.AsType[*task.MoveError](err)
	if !ok || move.From != task.Finished || move.Event != (task.BecomeReady{At: noon}) {
		t.Errorf("Step = %#v", err)
	}
	if want := `a task that is finished has no move "become ready"`; err.Error() != want {
		t.Errorf("Error = %q, want %q", err, want)
	}
}

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	tests := map[int]time.Duration{
		-1: 0, 0: 0, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 9: 256 * time.Second,
		10: 5 * time.Minute, 1 << 40: 5 * time.Minute,
	}
	for failures, want := range tests {
		if got := task.RetryDelay(failures); got != want {
			t.Errorf("RetryDelay(%d) = %v, want %v", failures, got, want)
		}
	}
}

func TestStateQuestions(t *testing.T) {
	t.Parallel()
	type answers struct{ Live, HoldsClaim, Serving, Ended bool }
	tests := map[task.State]answers{
		0:              {},
		task.Pending:   {Live: true},
		task.Assigned:  {Live: true, HoldsClaim: true},
		task.Starting:  {Live: true, HoldsClaim: true},
		task.Running:   {Live: true, HoldsClaim: true},
		task.Ready:     {Live: true, HoldsClaim: true, Serving: true},
		task.Backoff:   {Live: true, HoldsClaim: true},
		task.Draining:  {HoldsClaim: true},
		task.Stopping:  {HoldsClaim: true},
		task.Stopped:   {Ended: true},
		task.Finished:  {Ended: true},
		task.Failed:    {Ended: true},
		task.Lost:      {Ended: true},
		task.State(77): {},
	}
	for state, want := range tests {
		got := answers{state.Live(), state.HoldsClaim(), state.Serving(), state.Ended()}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", state, got, want)
		}
	}
	if got := task.State(77).String(); got != "state 77" {
		t.Errorf("String = %q", got)
	}
}

func TestExitInWords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		exit task.Exit
		good bool
	}{
		"exit code 0":             {exit: task.Exit{}, good: true},
		"exit code 2":             {exit: task.Exit{Code: 2}},
		"killed by signal 9":      {exit: task.Exit{Signal: 9}},
		"killed: out of memory":   {exit: task.Exit{Signal: 9, OOM: true}},
		"no such file: ./missing": {exit: task.Exit{Code: 127, Error: "no such file: ./missing"}},
	}
	for want, tc := range tests {
		if got := tc.exit.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
		if got := tc.exit.Good(); got != tc.good {
			t.Errorf("%s: Good = %v", want, got)
		}
	}
}
