package fake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

func key(task id.Task) runtime.Key { return runtime.Key{Task: task, Attempt: 1} }

func launch(task id.Task) runtime.Launch { return runtime.Launch{Key: key(task)} }

// script looks the play up by the task's name.
func script(plays map[id.Task]fake.Play) fake.Script {
	return func(l runtime.Launch) fake.Play { return plays[l.Key.Task] }
}

// run runs a runtime until the test ends, and returns the story of its exits.
func run(t *testing.T, r *fake.Runtime) *[]string {
	t.Helper()
	began := time.Now()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	running.Go(func() { _ = r.Run(ctx) })
	var story []string
	running.Go(func() {
		for {
			select {
			case exit := <-r.Exits():
				story = append(story, fmt.Sprint(exit.At.Sub(began), " ", exit.Key, " ", exit.Code, "/", exit.Signal, " ", exit.StartError))
			case <-ctx.Done():
				return
			}
		}
	})
	return &story
}

func TestPlays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := fake.New(script(map[id.Task]fake.Play{
			"brief":   {Lives: time.Second, Exit: runtime.Exit{Code: 3}},
			"instant": {Lives: -1},
			"broken":  {Lives: -1, Exit: runtime.Exit{Code: -1, StartError: "exec format error"}},
			"refused": {Refused: runtime.ErrNotFound},
			"polite":  {Obeys: 2 * time.Second},
			"deaf":    {Obeys: -1},
			"late":    {Lives: 11 * time.Second, Obeys: 4 * time.Second},
		}))
		story := run(t, r)
		for _, task := range []id.Task{"brief", "instant", "broken", "polite", "deaf", "plain", "late", "killed", "forever"} {
			if err := r.Start(t.Context(), launch(task)); errors.Is(err, runtime.ErrNeverRan) != (task == "broken") || err != nil && task != "broken" {
				t.Fatal(err)
			}
		}
		if err := r.Start(t.Context(), launch("refused")); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("Start of refused = %v", err)
		}
		time.Sleep(10 * time.Second)
		for _, task := range []id.Task{"polite", "deaf", "plain", "late", "brief"} {
			if err := r.Stop(t.Context(), key(task), 5*time.Second); err != nil {
				t.Error(err)
			}
		}
		if err := r.Kill(t.Context(), key("killed")); err != nil {
			t.Error(err)
		}

		time.Sleep(time.Hour)

		synctest.Wait()
		want := []string{
			"0s broken.1 -1/0 exec format error", "0s instant.1 0/0 ", "1s brief.1 3/0 ", "10s killed.1 -1/9 ",
			"10s plain.1 -1/15 ", "11s late.1 0/0 ", "12s polite.1 0/0 ", "15s deaf.1 -1/9 ",
		}
		if diff := cmp.Diff(want, *story); diff != "" {
			t.Errorf("exits (-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := fake.New(nil)
		if err := r.Start(t.Context(), launch("a")); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, listed := r.List(gone)
		tests := map[string]struct{ got, want error }{
			"a second start":         {r.Start(t.Context(), launch("a")), runtime.ErrAlreadyStarted},
			"forgetting one alive":   {r.Forget(t.Context(), key("a")), supervisor.ErrRunning},
			"stopping nobody":        {r.Stop(t.Context(), key("b"), 0), supervisor.ErrUnknown},
			"a context that is over": {listed, context.Canceled},
		}
		for name, tc := range tests {
			if !errors.Is(tc.got, tc.want) {
				t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
			}
		}
	})
}

func TestAnotherAgentGoesOnWithTheSameTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := fake.New(script(map[id.Task]fake.Play{"brief": {Lives: time.Minute}}))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := errors.Join(r.Start(ctx, launch("brief")), r.Start(ctx, launch("long"))); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v", err)
		}
		time.Sleep(time.Hour)

		story := run(t, r)

		synctest.Wait()
		if got := strings.Join(*story, ","); got != "-59m1s brief.1 0/0 " {
			t.Errorf("the next agent heard %q", got)
		}
		tasks, err := r.List(t.Context())
		if err != nil || len(tasks) != 2 || tasks[0].Exit == nil || tasks[1].Exit != nil {
			t.Errorf("List = %+v, %v", tasks, err)
		}
		if err := r.Forget(t.Context(), key("brief")); err != nil {
			t.Error(err)
		}
		if tasks, _ := r.List(t.Context()); len(tasks) != 1 {
			t.Errorf("List after Forget = %+v", tasks)
		}
	})
}

// TestEachStartEndsOnce draws any calls at any times: whatever was started and
// stopped ends exactly once for one Run, and never after its grace.
func TestEachStartEndsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lives := rapid.SliceOfN(rapid.IntRange(-1, 100), 1, 20).Draw(rt, "lives")
		obeys := rapid.SliceOfN(rapid.IntRange(-1, 100), len(lives), len(lives)).Draw(rt, "obeys")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 100), len(lives), len(lives)).Draw(rt, "pauses")
		grace := time.Duration(rapid.IntRange(0, 50).Draw(rt, "grace")) * time.Second
		synctest.Test(t, func(t *testing.T) {
			plays := make(map[id.Task]fake.Play)
			for i := range lives {
				plays[id.Task(fmt.Sprint("t", i))] = fake.Play{
					Lives: time.Duration(lives[i]) * time.Second, Obeys: time.Duration(obeys[i]) * time.Second,
				}
			}
			r := fake.New(script(plays))
			story := run(t, r)
			for i := range lives {
				if err := r.Start(t.Context(), launch(id.Task(fmt.Sprint("t", i)))); err != nil {
					t.Fatal(err)
				}
			}
			for i, pause := range pauses {
				time.Sleep(time.Duration(pause) * time.Second)
				if err := r.Stop(t.Context(), key(id.Task(fmt.Sprint("t", i))), grace); err != nil {
					t.Fatal(err)
				}
			}

			time.Sleep(grace + time.Nanosecond)

			synctest.Wait()
			if len(*story) != len(lives) {
				t.Errorf("%d exits of %d starts: %v", len(*story), len(lives), *story)
			}
		})
	})
}
