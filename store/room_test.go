package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
)

const (
	smallQuota = 16 << 20
	largeValue = 256 << 10
)

// TestRoomIsMade writes several times what the quota allows under a few keys: when
// nothing can be written any more, what is old is dropped by itself, and commits only
// take longer.
func TestRoomIsMade(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{DataDir: t.TempDir(), Quota: smallQuota, TendEvery: 20 * time.Millisecond})
	term := campaign(t, s, "one")
	value := make([]byte, largeValue)
	const rounds = 4 * smallQuota / largeValue

	for i := range rounds {
		value[0] = byte(i)
		if _, err := term.Commit(t.Context(), []store.Op{{Key: fmt.Sprint("k", i%3), Value: value}}); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
	}

	for i := rounds - 3; i < rounds; i++ {
		_, err := term.Load(t.Context(), fmt.Sprint("k", i%3), func(key string, value []byte) error {
			if len(value) != largeValue || value[0] != byte(i) {
				t.Errorf("%s is of commit %d; want %d", key, value[0], i)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	room, kept := s.Room()
	if !kept || room.Quota != smallQuota || room.Used > smallQuota || room.Used < 3*largeValue || room.File < room.Used {
		t.Errorf("room is %+v, %t", room, kept)
	}
}

// TestFullStore is full of what is needed. It is read, and with a higher quota it is
// written again.
func TestFullStore(t *testing.T) {
	t.Parallel()
	cfg := store.Config{DataDir: t.TempDir(), Quota: smallQuota, TendEvery: 20 * time.Millisecond}
	s := open(t, cfg)
	term := campaign(t, s, "one")
	value := make([]byte, largeValue)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	written := 0
	commit := func(ctx context.Context) error {
		_, err := term.Commit(ctx, []store.Op{{Key: fmt.Sprintf("k%03d", written), Value: value}})
		return err
	}
	var err error
	for full := false; !full && ctx.Err() == nil; { // room may be made once more after it was full
		brief, done := context.WithTimeout(ctx, time.Second)
		err = commit(brief)
		done()
		if err == nil {
			written++
		}
		room, _ := s.Room()
		full = room.Full && err != nil && strings.Contains(err.Error(), "the store is full")
	}

	if !errors.Is(err, store.ErrInDoubt) || ctx.Err() != nil {
		t.Errorf("Commit when it is full = %v", err)
	}
	countPairs := func() (pairs int) {
		if _, err := term.Load(t.Context(), "k", func(string, []byte) error { pairs++; return nil }); err != nil {
			t.Error(err)
		}
		return pairs
	}
	if pairs := countPairs(); pairs < written || pairs > written+1 || pairs < smallQuota/largeValue/2 {
		t.Errorf("%d pairs are read, %d were written", pairs, written)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Quota *= 4
	s = open(t, cfg)
	term = campaignWithin(t, s, ctx)
	if err := commit(ctx); err != nil {
		t.Errorf("Commit with a higher quota = %v", err)
	}
	if room, _ := s.Room(); room.Full {
		t.Error("with a higher quota it is still full")
	}
}

// campaignWithin campaigns again while the store refuses because it is full.
func campaignWithin(t *testing.T, s *store.Store, ctx context.Context) *store.Term { //nolint:revive // t comes first
	t.Helper()
	for {
		term, err := s.Campaign(ctx, "two")
		if err == nil {
			return term
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
