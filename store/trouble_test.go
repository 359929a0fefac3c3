package store_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/aloft-run/aloft/store"
)

// TestPassingTrouble: what a member says of others while all start, or in a busy moment,
// is no warning; what goes on is one, and not again and again. All else is told at once.
func TestPassingTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text lockedBuffer
		etcd := store.NewZap(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})))
		told := func() int { return strings.Count(text.String(), "level=WARN") }
		goesOn := func(d time.Duration) {
			for range d / time.Second {
				etcd.Warn("prober detected unhealthy status")
				etcd.With(zap.String("peer", "m2")).Warn("slow fdatasync")
				time.Sleep(time.Second)
			}
		}

		etcd.Warn("d9adcdc433e8fcd8 cannot campaign at term 1 since there are still pending configuration changes to apply")
		goesOn(9 * time.Second)
		if told() != 0 {
			t.Errorf("of a start it tells\n%s", text.String())
		}
		time.Sleep(2 * time.Minute)
		goesOn(9 * time.Second)
		if told() != 0 {
			t.Errorf("of another start later it tells\n%s", text.String())
		}
		goesOn(9 * time.Minute)
		if told() != 2 {
			t.Errorf("of what goes on for minutes it tells\n%s\nwant each once", text.String())
		}
		goesOn(9 * time.Minute)
		if told() != 4 {
			t.Errorf("of what still goes on it tells\n%s\nwant each once more", text.String())
		}
		etcd.Warn("found hash mismatch")
		etcd.Error("slow fdatasync")
		if told() != 5 || !strings.Contains(text.String(), "level=ERROR") {
			t.Errorf("of other trouble it tells\n%s", text.String())
		}
	})
}
