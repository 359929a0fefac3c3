package master_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
	"github.com/aloft-run/aloft/wire"
)

// kept puts what an earlier leader left into a store.
func keptIn(t *testing.T, cluster *memory.Cluster, ops ...store.Op) {
	t.Helper()
	member := cluster.Join()
	term, err := member.Campaign(t.Context(), "earlier")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.Commit(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	if err := term.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := member.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, records ...engine.Record) (ops []store.Op) {
	t.Helper()
	for _, record := range records {
		value, err := wire.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, store.Op{Key: wire.StoreKey(record.Key()), Value: value})
	}
	return ops
}

// log is a log that may be read while it is written.
type log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestStoreThatCannotBeLoaded has the master say why, stand by, and lead once
// somebody has put it right.
func TestStoreThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	pool := &engine.Pool{Version: 1}
	pool.ID = "front"
	misplaced := put(t, pool)
	misplaced[0].Key = "pools/back"
	tests := map[string]struct {
		left []store.Op
		says string
	}{
		"garbage":                     {[]store.Op{{Key: "tasks/web-1-1", Value: []byte("\xff")}}, "record tasks/web-1-1: "},
		"a record at another's place": {misplaced, "record pools/back says that it is pools/front"},
		"records that do not fit":     {put(t, &engine.Service{Name: "web", Kind: spec.Service, Revision: 3}), "the records do not fit together: web"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := memory.New(memory.Config{})
				keptIn(t, cluster, tc.left...)
				said := &log{}
				n := start(t, cluster, master.Config{Log: slog.New(slog.NewTextHandler(said, nil))})

				time.Sleep(10 * time.Second)

				if n.master.Ready() == nil || !strings.Contains(said.String(), tc.says) {
					t.Errorf("ready: %v; it said\n%s", n.master.Ready(), said)
				}
				if tries := strings.Count(said.String(), "campaigns again"); tries < 5 || tries > 50 {
					t.Errorf("in 10 s it tried %d times", tries)
				}
				for i := range tc.left {
					tc.left[i].Delete = true
				}
				keptIn(t, cluster, tc.left...)
				n.leads()
			})
		})
	}
}

// TestRemainsOfABrokenCommit are dropped for good.
func TestRemainsOfABrokenCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		first := start(t, cluster, master.Config{ID: "m1"})
		first.leads()
		first.deploy("service: web\ninstances: 1\nrun: {command: [a]}\n")
		whole := first.listed()
		web := &spec.Spec{Kind: spec.Service, Name: "web"}
		first.stop()
		keptIn(t, cluster, put(t,
			&engine.Revision{Service: "web", Number: 2, Generation: 2, Spec: web},
			&engine.Deployment{ID: "web-2", Service: "web", From: 1, To: 2, State: engine.Going},
			&engine.Revision{Service: "new", Number: 1, Generation: 1, Spec: web},
			&engine.Deployment{ID: "new-1", Service: "new", To: 1, State: engine.Going},
			&engine.Task{ID: "gone-1-1", Service: "gone", Revision: 1, Status: task.Status{State: task.Pending}},
			&engine.Task{ID: "web-9-9", Service: "web", Revision: 9, Status: task.Status{State: task.Stopped}},
		)...)

		for _, name := range []string{"m2", "m3"} { // the second has nothing to drop any more
			said := &log{}
			n := start(t, cluster, master.Config{ID: name, Log: slog.New(slog.NewTextHandler(said, nil))})
			n.leads()
			if now := n.listed(); len(now) != len(whole) {
				t.Errorf("%s leads with %v, want %v", name, now, whole)
			}
			if dropped := strings.Contains(said.String(), "dropped"); dropped != (name == "m2") {
				t.Errorf("%s said\n%s", name, said)
			}
			n.stop()
		}
	})
}
