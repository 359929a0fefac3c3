package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

const lease = 2 * time.Second

func TestTermEndsWithItsLease(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		happens func(first *memory.Member, term *store.Term)
		waits   time.Duration // until the next leads
	}{
		"when the member dies": {
			happens: func(first *memory.Member, _ *store.Term) { _ = first.Close() },
			waits:   lease,
		},
		"when the member is cut off": {
			happens: func(first *memory.Member, _ *store.Term) { first.Cut() },
			waits:   lease,
		},
		"when the member dies after it was cut off": {
			happens: func(first *memory.Member, _ *store.Term) {
				first.Cut()
				time.Sleep(lease / 2)
				_ = first.Close()
				first.Heal()
			},
			waits: lease,
		},
		"when the member is cut off twice": {
			happens: func(first *memory.Member, _ *store.Term) {
				first.Cut()
				first.Cut()
				time.Sleep(lease / 2)
				first.Heal()
				first.Cut()
			},
			waits: lease/2 + lease,
		},
		"not by it when the member resigns": {
			happens: func(_ *memory.Member, term *store.Term) { _ = term.Resign(context.Background()) },
			waits:   0,
		},
		"when the member resigns while cut off": {
			happens: func(first *memory.Member, term *store.Term) {
				first.Cut()
				ctx, stop := context.WithTimeout(context.Background(), time.Second)
				defer stop()
				_ = term.Resign(ctx)
			},
			waits: lease,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := memory.New(memory.Config{})
				first, second := cluster.Join(), cluster.Join()
				old := campaign(t, first, "first")
				begin := time.Now()

				tc.happens(first, old)
				term := campaign(t, second, "second")

				if waited := time.Since(begin); waited != tc.waits {
					t.Errorf("the next leads after %v, want %v", waited, tc.waits)
				}
				<-old.Lost()
				if term.Epoch() <= old.Epoch() {
					t.Errorf("epoch %d follows %d", term.Epoch(), old.Epoch())
				}
			})
		})
	}
}

func TestEvictedWhileCutOff(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		healsAfter time.Duration
		learns     time.Duration // of its end, after the cut
	}{
		"and healed":             {healsAfter: lease / 2, learns: lease / 2},
		"and not healed in time": {healsAfter: time.Hour, learns: lease},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := memory.New(memory.Config{})
				first, second := cluster.Join(), cluster.Join()
				old := campaign(t, first, "first")
				first.Cut()
				begin := time.Now()
				time.AfterFunc(tc.healsAfter, first.Heal)

				if err := second.Evict(t.Context(), old.Epoch()); err != nil {
					t.Fatal(err)
				}
				term := campaign(t, second, "second") // at once
				if waited := time.Since(begin); waited != 0 {
					t.Errorf("the next leads after %v", waited)
				}
				<-old.Lost()
				if learned := time.Since(begin); learned != tc.learns {
					t.Errorf("the evicted learns after %v, want %v", learned, tc.learns)
				}
				if _, err := term.Commit(t.Context(), nil); err != nil {
					t.Errorf("the next term, after the one before it ended: %v", err)
				}
			})
		})
	}
}

// TestHaltedMemberLearnsLate has a member believe that it leads while another one does.
func TestHaltedMemberLearnsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		first, second := cluster.Join(), cluster.Join()
		old := campaign(t, first, "first")
		begin := time.Now()

		first.Halt()
		time.AfterFunc(2*lease, first.Heal)
		term := campaign(t, second, "second")

		if waited := time.Since(begin); waited != lease {
			t.Errorf("the next leads after %v, want %v", waited, lease)
		}
		_, err := old.Commit(t.Context(), []store.Op{{Key: "a"}}) // waits for the heal
		wantErrors(t, err, store.ErrDeposed)
		<-old.Lost()
		if learned := time.Since(begin); learned != 2*lease {
			t.Errorf("the halted one learns after %v, want %v", learned, 2*lease)
		}
		if _, err := term.Commit(t.Context(), nil); err != nil {
			t.Errorf("the next term, after the one before it ended: %v", err)
		}
	})
}

func TestHealedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		member := memory.New(memory.Config{}).Join()
		term := campaign(t, member, "one")
		member.Cut()
		begin := time.Now()
		time.AfterFunc(lease-time.Millisecond, member.Heal)

		_, err := term.Commit(t.Context(), []store.Op{{Key: "a"}})

		if waited := time.Since(begin); err != nil || waited != lease-time.Millisecond {
			t.Errorf("Commit = %v after %v", err, waited)
		}
		time.Sleep(time.Hour)
		if _, err := term.Commit(t.Context(), nil); err != nil {
			t.Errorf("an hour after the cut was healed: %v", err)
		}
	})
}

func TestCutCommitIsInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		member := cluster.Join()
		term := campaign(t, member, "one")
		member.Cut()
		ctx, stop := context.WithTimeout(t.Context(), lease/2)
		defer stop()

		_, err := term.Commit(ctx, []store.Op{{Key: "a"}})
		wantErrors(t, err, store.ErrInDoubt, context.DeadlineExceeded)
		_, err = term.Commit(t.Context(), []store.Op{{Key: "a"}}) // ends with the lease
		wantErrors(t, err, store.ErrInDoubt, store.ErrDeposed)
		_, err = term.Commit(t.Context(), []store.Op{{Key: "a"}})
		wantErrors(t, err, store.ErrDeposed)
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := map[string]struct {
		fate memory.Fate
		want []error
		left string
	}{
		"a call that is late":                 {fate: memory.Fate{Delay: time.Hour}, left: "abc"},
		"a call that is lost":                 {fate: memory.Fate{Err: broken}, want: []error{broken, store.ErrInDoubt}, left: "a"},
		"an answer that is lost":              {fate: memory.Fate{Err: broken, Done: true}, want: []error{broken, store.ErrInDoubt}, left: "ab"},
		"a call that comes when nobody waits": {fate: memory.Fate{Err: broken, Late: time.Minute}, want: []error{broken, store.ErrInDoubt}, left: "a"},
		"a call that comes too late":          {fate: memory.Fate{Delay: 3 * time.Hour}, want: []error{context.DeadlineExceeded, store.ErrInDoubt}, left: "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fault := func(call memory.Call) memory.Fate {
					if call.Kind == memory.Commit && call.Ops[0].Key == "b" {
						return tc.fate
					}
					return memory.Fate{}
				}
				cluster := memory.New(memory.Config{Limits: store.Limits{Ops: 1}, Fault: fault})
				term := campaign(t, cluster.Join(), "one")
				ctx, stop := context.WithTimeout(t.Context(), 2*time.Hour)
				defer stop()

				_, err := term.Commit(ctx, []store.Op{{Key: "a"}, {Key: "b"}, {Key: "c"}}) // three parts

				wantErrors(t, err, tc.want...)
				if left := keys(t, term); left != tc.left {
					t.Errorf("keys left are %q, want %q", left, tc.left)
				}
			})
		})
	}
}

// TestACommitThatComesLate is fenced like any other.
func TestACommitThatComesLate(t *testing.T) {
	t.Parallel()
	for name, deposed := range map[string]bool{"when its term is over": true, "in its term": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := true
				cluster := memory.New(memory.Config{Fault: func(call memory.Call) memory.Fate {
					if late && call.Kind == memory.Commit {
						late = false
						return memory.Fate{Err: errors.New("no answer"), Late: time.Minute}
					}
					return memory.Fate{}
				}})
				member, want := cluster.Join(), "a"
				term := campaign(t, member, "one")
				if _, err := term.Commit(t.Context(), []store.Op{{Key: "a"}}); err == nil {
					t.Error("its answer has come")
				}
				if deposed {
					cluster.Depose()
					term, want = campaign(t, member, "one"), ""
				}

				time.Sleep(2 * time.Minute)

				if left := keys(t, term); left != want {
					t.Errorf("keys left are %q, want %q", left, want)
				}
			})
		})
	}
}

func TestFaultsOfOtherCalls(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, kind := range []memory.Kind{memory.Campaign, memory.WatchLeader, memory.Load, memory.Resign, memory.Evict, memory.Announced} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				failing := false
				cluster := memory.New(memory.Config{Fault: func(call memory.Call) memory.Fate {
					if failing && call.Kind == kind {
						return memory.Fate{Err: broken, Done: true}
					}
					return memory.Fate{}
				}})
				member := cluster.Join()
				term := campaign(t, member, "one")
				failing = true
				calls := map[memory.Kind]func() error{
					memory.Campaign: func() error {
						cluster.Depose()
						_, err := member.Campaign(t.Context(), "one")
						return err
					},
					memory.WatchLeader: func() error {
						_, _, err := member.Leader(t.Context())
						return err
					},
					memory.Load: func() error {
						_, err := term.Load(t.Context(), "", func(string, []byte) error { return nil })
						return err
					},
					memory.Resign: func() error { return term.Resign(t.Context()) },
					memory.Evict:  func() error { return member.Evict(t.Context(), term.Epoch()) },
					memory.Announced: func() error {
						_, err := member.Announced(t.Context())
						return err
					},
				}

				err := calls[kind]()

				wantErrors(t, err, broken)
				failing = false
				if kind == memory.Campaign || kind == memory.Resign {
					campaign(t, member, "again") // the lease of what was won runs out
				}
			})
		})
	}
}

func campaign(t *testing.T, member *memory.Member, identity string) *store.Term {
	t.Helper()
	term, err := member.Campaign(t.Context(), identity)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func wantErrors(t *testing.T, err error, wants ...error) {
	t.Helper()
	if len(wants) == 0 && err != nil {
		t.Errorf("error = %v", err)
	}
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Errorf("error = %v, want %v", err, want)
		}
	}
}

func keys(t *testing.T, term *store.Term) (all string) {
	t.Helper()
	_, err := term.Load(t.Context(), "", func(key string, _ []byte) error {
		all += key
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
