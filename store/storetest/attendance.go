package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/store"
)

// announcement is one that is under way.
type announcement struct {
	stop context.CancelCauseFunc
	err  error
	done chan struct{}
}

func announceAside(t trial, s *store.Store, name, value string) *announcement {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	a := &announcement{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = s.Announce(ctx, name, value)
	}()
	return a
}

// awaitAnnounced waits until that, and no more, is announced.
func awaitAnnounced(tb testing.TB, s *store.Store, want map[string]string) {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := s.Announced(ctx)
		if err == nil && cmp.Equal(want, got) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			tb.Fatalf("announced: %v, %v, want %v", got, err, want)
		}
	}
}

func announcesUntilDone(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	awaitAnnounced(t, one, map[string]string{})
	enough := errors.New("been there enough")

	first := announceAside(t, one, "m1", "http://one")
	second := announceAside(t, two, "m2", "")

	awaitAnnounced(t, one, map[string]string{"m1": "http://one", "m2": ""})
	awaitAnnounced(t, two, map[string]string{"m1": "http://one", "m2": ""})
	first.stop(enough)
	<-first.done
	wantError(t, "Announce", first.err, enough)
	if got, err := two.Announced(t.Context()); err != nil || !cmp.Equal(got, map[string]string{"m2": ""}) {
		t.Errorf("announced when m1 had gone: %v, %v", got, err)
	}
	second.stop(nil)
	<-second.done
	awaitAnnounced(t, one, map[string]string{})
}

// nameIsOfTheLast has two announce one name, as a process does that starts again
// before it is forgotten.
func nameIsOfTheLast(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := announceAside(t, one, "m1", "old")
	awaitAnnounced(t, one, map[string]string{"m1": "old"})
	second := announceAside(t, two, "m1", "new")
	awaitAnnounced(t, one, map[string]string{"m1": "new"})

	first.stop(nil)
	<-first.done

	if got, err := two.Announced(t.Context()); err != nil || !cmp.Equal(got, map[string]string{"m1": "new"}) {
		t.Errorf("announced when the one before had gone: %v, %v", got, err)
	}
	second.stop(nil)
	<-second.done
	awaitAnnounced(t, two, map[string]string{})
}

// closedIsForgotten closes a store as a process ends that dies.
func closedIsForgotten(t trial) {
	one, two := t.Open(t.T), t.Open(t.T)
	first := announceAside(t, two, "m2", "there")
	awaitAnnounced(t, one, map[string]string{"m2": "there"})

	if err := two.Close(); err != nil {
		t.Fatal(err)
	}

	<-first.done
	wantError(t, "Announce", first.err, store.ErrClosed)
	if got, err := one.Announced(t.Context()); err != nil || !cmp.Equal(got, map[string]string{"m2": "there"}) {
		t.Errorf("announced at once after the end: %v, %v", got, err)
	}
	awaitAnnounced(t, one, map[string]string{})
	wantError(t, "Announce", two.Announce(t.Context(), "m2", ""), store.ErrClosed)
	_, err := two.Announced(t.Context())
	wantError(t, "Announced", err, store.ErrClosed)
}

// refusesAnnouncement runs with limits of 1 KiB.
func refusesAnnouncement(t trial) {
	s := t.Open(t.T)
	if err := s.Announce(t.Context(), "", "x"); err == nil || !strings.Contains(err.Error(), "name is empty") {
		t.Errorf("without a name: %v", err)
	}
	wantError(t, "Announce", s.Announce(t.Context(), "m1", strings.Repeat("x", 1<<10)), store.ErrTooLarge)
	awaitAnnounced(t, s, map[string]string{})
}
