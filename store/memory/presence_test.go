package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/store/memory"
)

func TestAnnouncedWhileCutOff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		healsAfter time.Duration
		gone       bool // after the lease
	}{
		"and healed in time":     {healsAfter: lease - time.Millisecond},
		"and not healed in time": {healsAfter: time.Hour, gone: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := memory.New(memory.Config{})
				first, second := cluster.Join(), cluster.Join()
				ctx, stop := context.WithCancel(t.Context())
				announced := make(chan error)
				go func() { announced <- first.Announce(ctx, "m1", "there") }()
				synctest.Wait()
				first.Cut()
				time.AfterFunc(tc.healsAfter, first.Heal)

				time.Sleep(lease - time.Nanosecond)
				wantAnnounced(t, second, "there")
				time.Sleep(time.Second)
				if tc.gone {
					wantAnnounced(t, second, "")
				} else {
					wantAnnounced(t, second, "there")
				}
				time.Sleep(time.Hour)
				wantAnnounced(t, second, "there") // again

				first.Cut()
				stop()
				wantErrors(t, <-announced, context.Canceled) // it does not wait to be heard
				wantAnnounced(t, second, "there")
				time.Sleep(lease)
				synctest.Wait()
				wantAnnounced(t, second, "")
			})
		})
	}
}

func TestAnnouncesAfterFaults(t *testing.T) {
	t.Parallel()
	for name, fate := range map[string]memory.Fate{
		"a call that is lost":    {Err: errors.New("broken")},
		"an answer that is lost": {Err: errors.New("broken"), Done: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				faults := 3
				member := memory.New(memory.Config{Fault: func(call memory.Call) memory.Fate {
					if call.Kind != memory.Announce || faults == 0 {
						return memory.Fate{}
					}
					faults--
					return fate
				}}).Join()
				ctx, stop := context.WithCancel(t.Context())
				announced := make(chan error)
				go func() { announced <- member.Announce(ctx, "m1", "there") }()

				time.Sleep(time.Hour)

				wantAnnounced(t, member, "there")
				stop()
				wantErrors(t, <-announced, context.Canceled)
				wantAnnounced(t, member, "")
			})
		})
	}
}

// wantAnnounced wants the value that m1 announced, or "" for none.
func wantAnnounced(t *testing.T, member *memory.Member, want string) {
	t.Helper()
	values, err := member.Announced(t.Context())
	if got := values["m1"]; err != nil || got != want {
		t.Errorf("announced %q, %v, want %q", got, err, want)
	}
}
