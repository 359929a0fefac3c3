package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
)

// campaign returns the term of a store that leads when the test says so.
func campaign(tb testing.TB, s *store.Store, identity string) *store.Term {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	term, err := s.Campaign(ctx, identity)
	if err != nil {
		tb.Fatal(err)
	}
	return term
}

// waitLost waits until term is over.
func waitLost(tb testing.TB, term *store.Term) {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	select {
	case <-term.Lost():
	case <-ctx.Done():
		tb.Fatalf("term %d was not lost", term.Epoch())
	}
}

func wantError(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s = %v, want %v", what, err, want)
	}
}

// waiting is a campaign of "two" that is under way.
type waiting struct {
	term *store.Term
	err  error
	done chan struct{}
}

func campaignAside(ctx context.Context, s *store.Store) *waiting {
	w := &waiting{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.term, w.err = s.Campaign(ctx, "two")
	}()
	return w
}

func handsOver(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := campaign(t, one, "one")
	second := campaignAside(t.Context(), two)
	select {
	case <-first.Lost():
		t.Fatal("the first term was lost to the second")
	case <-second.done:
		t.Fatalf("a second led beside the first: %v", second.err)
	default:
	}

	err := first.Resign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waitLost(t, first)
	<-second.done
	if second.err != nil {
		t.Fatal(second.err)
	}
	if second.term.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d follows %d", second.term.Epoch(), first.Epoch())
	}
	if err := first.Resign(t.Context()); err != nil {
		t.Errorf("resigning twice: %v", err)
	}
	if _, err := second.term.Commit(t.Context(), nil); err != nil {
		t.Errorf("the second term after the first resigned twice: %v", err)
	}
}

// letsOthersFirst has a candidate wait behind one that comes when the term ends, and lead
// when nobody does.
func letsOthersFirst(t trial) {
	one, two, three := t.Open(t.T), t.Open(t.T), t.Open(t.T)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	asked := false
	for !asked { // else it began when the term was over, and is behind nobody
		first := campaign(t, one, "one")
		eager := campaignAside(ctx, two)
		giveUp := errors.New("another one leads")
		waiting, end := context.WithCancelCause(ctx)
		var patient *store.Term
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			patient, err = three.CampaignBehind(waiting, "three", func(former string) time.Duration {
				asked = true
				if former != "one" {
					t.Errorf("a candidate waits behind others after %q", former)
				}
				return time.Hour
			})
		}()
		resign(t, first)
		select {
		case <-eager.done:
			end(giveUp)
			<-ended
		case <-ended:
			resign(t, patient)
			<-eager.done
		}
		if eager.err != nil || asked && !errors.Is(err, giveUp) {
			t.Fatalf("the first of two candidates: %v; the one behind it: %v", eager.err, err)
		}
		end(nil)
		resign(t, eager.term)
	}
}

// leadsBehindNobody has a candidate lead that lets others go first who do not come.
func leadsBehindNobody(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	asked := false
	for !asked { // else it began when the term was over, and is behind nobody
		first := campaign(t, one, "one")
		var term *store.Term
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			term, err = two.CampaignBehind(ctx, "two", func(string) time.Duration {
				asked = true
				return time.Millisecond
			})
		}()

		resign(t, first)

		<-ended
		if err != nil || term.Epoch() <= first.Epoch() {
			t.Fatalf("after epoch %d: %v", first.Epoch(), err)
		}
		resign(t, term)
	}
}

// resign ends a term, if it has begun.
func resign(tb testing.TB, term *store.Term) {
	tb.Helper()
	if term == nil {
		return
	}
	if err := term.Resign(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func campaignEnds(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	campaign(t, one, "one")
	enough := errors.New("waited enough")
	ctx, stop := context.WithCancelCause(t.Context())
	second := campaignAside(ctx, two)

	stop(enough)
	<-second.done

	wantError(t, "Campaign", second.err, enough)
}

func needsIdentity(t trial) {
	if _, err := t.Open(t.T).Campaign(t.Context(), ""); err == nil {
		t.Error("an empty identity leads")
	}
}

// sight is what WatchLeader tells.
type sight struct {
	identity string
	epoch    uint64
}

func leaderIsSeen(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	sights, watched := make(chan sight), make(chan error)
	go func() {
		watched <- two.WatchLeader(ctx, func(identity string, epoch uint64) {
			select {
			case sights <- sight{identity, epoch}:
			case <-ctx.Done():
			}
		})
	}()
	expect := func(want sight) {
		t.Helper()
		select {
		case got := <-sights:
			if got != want {
				t.Errorf("saw %v, want %v", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("never saw %v", want)
		}
		identity, epoch, err := two.Leader(ctx)
		if got := (sight{identity, epoch}); got != want || err != nil {
			t.Errorf("Leader = %v, %v, want %v", got, err, want)
		}
	}

	expect(sight{})
	first := campaign(t, one, "one")
	expect(sight{"one", first.Epoch()})
	if err := first.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	expect(sight{})
	second := campaign(t, one, "uno")
	expect(sight{"uno", second.Epoch()})
	stop()

	wantError(t, "WatchLeader", <-watched, context.Canceled)
}

func deposedWritesNothing(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := campaign(t, one, "one")
	put(t, first, "kept", "by one")

	t.Depose(t.T)
	_, err := first.Commit(t.Context(), []store.Op{{Key: "lost", Value: []byte("x")}, {Key: "kept", Delete: true}})

	wantError(t, "Commit of a deposed term", err, store.ErrDeposed)
	waitLost(t, first)
	_, err = first.Commit(t.Context(), nil)
	wantError(t, "Commit of nothing in a deposed term", err, store.ErrDeposed)
	_, err = first.Load(t.Context(), "", func(string, []byte) error { return nil })
	wantError(t, "Load in a deposed term", err, store.ErrDeposed)
	second := campaign(t, two, "two")
	wantPairs(t, second, "", pair{"kept", "by one"})
}

func resignedWritesNothing(t trial) {
	one := t.Open(t.T)
	first := campaign(t, one, "one")
	if err := first.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}

	_, err := first.Commit(t.Context(), []store.Op{{Key: "a", Value: []byte("x")}})

	wantError(t, "Commit of a resigned term", err, store.ErrDeposed)
	wantPairs(t, campaign(t, one, "one"), "")
}

func evictedWritesNothing(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := campaign(t, one, "one")
	put(t, first, "kept", "by one")
	second := campaignAside(t.Context(), two)

	if err := two.Evict(t.Context(), first.Epoch()); err != nil {
		t.Fatal(err)
	}
	_, err := first.Commit(t.Context(), []store.Op{{Key: "kept", Delete: true}})

	wantError(t, "Commit of an evicted term", err, store.ErrDeposed)
	waitLost(t, first)
	<-second.done
	if second.err != nil {
		t.Fatal(second.err)
	}
	wantPairs(t, second.term, "", pair{"kept", "by one"})
}

// evictsOnlyThat evicts terms that are over, or never were, beside one that leads.
func evictsOnlyThat(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := campaign(t, one, "one")
	if err := two.Evict(t.Context(), first.Epoch()); err != nil {
		t.Fatal(err)
	}
	if err := two.Evict(t.Context(), first.Epoch()); err != nil {
		t.Errorf("Evict while nobody leads = %v", err)
	}
	second := campaign(t, one, "one")

	for _, epoch := range []uint64{0, first.Epoch(), second.Epoch() + 1} {
		if err := two.Evict(t.Context(), epoch); err != nil {
			t.Errorf("Evict(%d) while %d leads = %v", epoch, second.Epoch(), err)
		}
	}

	put(t, second, "a", "1")
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, "Evict of a closed store", two.Evict(t.Context(), second.Epoch()), store.ErrClosed)
}

func closingEnds(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	term := campaign(t, one, "one")
	second := campaignAside(t.Context(), two)
	watched := make(chan error)
	begun := make(chan struct{}, 1) // the first of several sights counts
	go func() {
		watched <- two.WatchLeader(t.Context(), func(string, uint64) {
			select {
			case begun <- struct{}{}:
			default:
			}
		})
	}()
	<-begun

	if err := two.Close(); err != nil {
		t.Fatal(err)
	}

	<-second.done
	wantError(t, "Campaign", second.err, store.ErrClosed)
	wantError(t, "WatchLeader", <-watched, store.ErrClosed)
	_, _, err := two.Leader(t.Context())
	wantError(t, "Leader", err, store.ErrClosed)
	if err := two.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	waitLost(t, term)
	_, err = term.Commit(t.Context(), nil)
	wantError(t, "Commit", err, store.ErrClosed)
}

func findsAll(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := campaign(t, one, "one")
	revision := put(t, first, "a", "1")
	second := campaignAside(t.Context(), two)

	t.Depose(t.T)
	<-second.done

	if second.err != nil {
		t.Fatal(second.err)
	}
	if second.term.Epoch() <= uint64(revision) {
		t.Errorf("term %d began before revision %d of the term before", second.term.Epoch(), revision)
	}
	loaded := wantPairs(t, second.term, "", pair{"a", "1"})
	if loaded < revision {
		t.Errorf("loaded revision %d, older than %d", loaded, revision)
	}
	put(t, second.term, "b", "2")
	wantPairs(t, second.term, "", pair{"a", "1"}, pair{"b", "2"})
}
