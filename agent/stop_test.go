package agent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func TestAProgramThatIgnoresSIGTERMIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Obeys: -1}), func(w *world) {
		w.run(service(), "web-1")

		w.stop("web-1", time.Minute)
		w.pass(time.Minute - 1)
		w.want("web-1", "stopping 1")
		w.pass(1)

		w.want("web-1", "stopped 1")
		if signal := w.status("web-1").GetLast().GetSignal(); signal != 9 {
			w.Errorf("signal %d", signal)
		}
	})
}

// TestACopyThatRanTooLongSaysSo: its exit would tell of a signal only.
func TestACopyThatRanTooLongSaysSo(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{time.Minute: "ran longer than 1m0s", time.Second: ""} {
		inWorld(t, always(fake.Play{Obeys: -1}), func(w *world) {
			limited := job()
			limited.Timeout = time.Minute
			w.run(limited, "copy-1")
			w.pass(after)

			w.stop("copy-1", time.Second)
			w.pass(time.Minute)

			w.want("copy-1", "stopped 1")
			if got := w.status("copy-1").GetLast(); got.GetError() != want || got.GetSignal() != 9 {
				w.Errorf("stopped after %v: %v, want %q", after, got, want)
			}
		})
	}
}

func TestStopsWhereverATaskIs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script  fake.Script
		spec    *spec.Spec
		arrange func(*world)
		starts  int
	}{
		"while it fetches": {
			spec:    service(fetching("artifact.txt")),
			arrange: func(w *world) { w.fetcher.hold = make(chan struct{}) },
			starts:  0,
		},
		"while it starts": {
			spec:    service(),
			arrange: func(w *world) { w.runtime.setLate(time.Second) },
			starts:  1,
		},
		"while it starts and is refused": {
			script:  always(fake.Play{Refused: runtime.ErrNotFound}),
			spec:    service(),
			arrange: func(w *world) { w.runtime.setLate(time.Second) },
			starts:  1,
		},
		"while it starts, and it ignores SIGTERM": {
			script:  always(fake.Play{Obeys: -1}),
			spec:    service(),
			arrange: func(w *world) { w.runtime.setLate(time.Second) },
			starts:  1,
		},
		"in backoff": {
			script:  always(fake.Play{Lives: -1}),
			spec:    service(),
			arrange: func(*world) {},
			starts:  1,
		},
		"while it runs": {
			spec:    service(),
			arrange: func(*world) {},
			starts:  1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, tc.script, func(w *world) {
				tc.arrange(w)
				w.run(tc.spec, "web-1")

				w.stop("web-1", time.Second)
				w.stop("web-1", time.Minute) // repeated, and later: the first counts
				w.pass(time.Minute)

				w.want("web-1", "stopped 1")
				if got := w.runtime.starts(); got != tc.starts {
					w.Errorf("%d starts, want %d", got, tc.starts)
				}
				if left := w.running(); len(left) != 0 {
					w.Errorf("%v run on", left)
				}
				w.stop("web-1", 0)
				w.want("web-1", "stopped 1")
				w.forget("web-1")
				w.pass(time.Hour)
				if got := w.runtime.starts(); got != tc.starts {
					w.Errorf("%d starts in the end, want %d", got, tc.starts)
				}
			})
		})
	}
}

func TestASecondStopBringsTheEndForward(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Obeys: -1}), func(w *world) {
		w.run(service(), "web-2")
		w.stop("web-2", time.Hour)

		w.stop("web-2", time.Second)
		w.want("web-2", "stopping 1")
		w.pass(time.Second)

		w.want("web-2", "stopped 1")
	})
}

func TestOnlyEndedTasksAreForgotten(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")

		w.forget("web-1", "nobody", "../../etc")

		w.order(&pb.Orders{})
		if got := w.running(); !slices.Equal(got, []string{"web-1.1"}) {
			w.Errorf("running %v", got)
		}
		w.restart()
		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 1" {
			w.Errorf("the join says %v", tasks)
		}
	})
}
