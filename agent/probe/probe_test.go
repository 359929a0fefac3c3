package probe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/agent/probe"
)

// program answers a probe according to how long it has run.
type program struct {
	began  time.Time
	answer func(age time.Duration) error
	takes  time.Duration

	asked        []time.Duration
	asking, most int
}

func (p *program) Check(ctx context.Context) error {
	age := time.Since(p.began)
	p.asked = append(p.asked, age)
	p.asking++
	p.most = max(p.most, p.asking)
	defer func() { p.asking-- }()
	select {
	case <-time.After(p.takes):
		return p.answer(age)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errNotYet = errors.New("not yet")

// between is bad from and until, good else.
func between(from, until time.Duration) func(time.Duration) error {
	return func(age time.Duration) error {
		if from <= age && age < until {
			return errNotYet
		}
		return nil
	}
}

func TestRunTellsChanges(t *testing.T) {
	t.Parallel()
	never := func(time.Duration) error { return errNotYet }
	tests := map[string]struct {
		cfg   probe.Config
		takes time.Duration
		bad   func(time.Duration) error
		want  []string
	}{
		"a program that is ready at once": {
			bad:  between(0, 0),
			want: []string{"0s good"},
		},
		"a program that takes 100 ms to start is seen within 40 ms more": {
			bad:  between(0, 100*time.Millisecond),
			want: []string{"0s unknown 1 not yet", "118.75ms good"},
		},
		"a program that never gets ready is not called bad": {
			bad:  never,
			want: []string{"0s unknown 1 not yet"},
		},
		"unless patience was bounded": {
			cfg:  probe.Config{Patience: 5 * time.Second},
			bad:  never,
			want: []string{"0s unknown 1 not yet", "5.833251949s bad 14 not yet"},
		},
		"two bad answers are forgiven": {
			bad:  between(10*time.Second, 12*time.Second),
			want: []string{"0s good", "10s good 1 not yet"},
		},
		"three are not, and one good one heals": {
			bad:  between(10*time.Second, 20*time.Second),
			want: []string{"0s good", "10s good 1 not yet", "12s bad 3 not yet", "20s good"},
		},
		"a program that hangs": {
			takes: time.Hour,
			bad:   never,
			want:  []string{"1s unknown 1 no answer in 1s"},
		},
		"a bad answer that reads differently each time is told once per pace": {
			bad: func(age time.Duration) error { return fmt.Errorf("age %v", age.Round(10*time.Second)) },
			want: []string{
				"0s unknown 1 age 0s", "5.833251949s unknown 14 age 10s", "15.833251949s unknown 24 age 20s",
				"25.833251949s unknown 34 age 30s",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				asked := &program{began: began, answer: tc.bad, takes: tc.takes}
				ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
				defer stop()
				var got []string

				err := probe.Run(ctx, tc.cfg, asked, func(r probe.Result) {
					line := fmt.Sprint(r.At.Sub(began), " ", r.Verdict)
					if r.Error != "" {
						line += fmt.Sprint(" ", r.Failures, " ", r.Error)
					}
					got = append(got, line)
				})

				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run = %v, want the context's end", err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("reports (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRunAsksOftenUntilTheFirstGoodAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := &program{began: time.Now(), answer: between(0, 300*time.Millisecond)}
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()

		_ = probe.Run(ctx, probe.Config{}, asked, func(probe.Result) {})

		const ms = time.Millisecond
		want := []time.Duration{
			0, 25 * ms, 62500 * time.Microsecond, 118750 * time.Microsecond, 203125 * time.Microsecond,
			329687500, 1329687500, 2329687500,
		}
		if diff := cmp.Diff(want, asked.asked); diff != "" {
			t.Errorf("asked at (-want +got):\n%s", diff)
		}
	})
}

func TestQuestionsDoNotPileUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &program{began: time.Now(), answer: between(0, 0), takes: 700 * time.Millisecond}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()

		_ = probe.Run(ctx, probe.Config{Every: 100 * time.Millisecond}, slow, func(probe.Result) {})

		if slow.most != 1 {
			t.Errorf("%d questions at a time, want 1", slow.most)
		}
		if n := len(slow.asked); n < 80 || n > 90 {
			t.Errorf("asked %d times in a minute, want one question after the other", n)
		}
	})
}

func TestRunRefusesABadPace(t *testing.T) {
	t.Parallel()
	err := probe.Run(t.Context(), probe.Config{Every: -1, FailuresMax: -1}, &program{}, nil)
	if err == nil || !strings.Contains(err.Error(), "Every") || !strings.Contains(err.Error(), "FailuresMax") {
		t.Errorf("Run = %v, want both problems", err)
	}
}
