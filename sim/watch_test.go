package sim_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// watcher is a client that follows all changes, and goes on where it was when its watch
// breaks. What it is told is held to what became durable.
type watcher struct {
	*caller

	mu     sync.Mutex            // guards all below
	at     int64                 // all up to this revision was told
	copied map[string]*pb.Record // what it believes, by key
	loads  map[string]*pb.Record // of a watch that begins; nil while there is none
}

// watch follows all changes until ctx is done.
func (c *cluster) watch(ctx context.Context, name string) *watcher {
	w := &watcher{caller: c.caller(name, nil)}
	c.alive.Go(func() {
		defer w.made.hangUp(false)
		for pause(ctx, 50*time.Millisecond+w.late()) {
			w.follow(ctx)
		}
	})
	return w
}

// follow holds one watch until it breaks.
func (w *watcher) follow(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w.mu.Lock()
	from := w.at
	if w.loads = nil; from == 0 {
		w.loads = make(map[string]*pb.Record)
	}
	w.mu.Unlock()
	stream, err := w.client.Cluster().Watch(ctx, ask(&pb.WatchRequest{FromRevision: from}))
	if err != nil {
		return
	}
	defer stream.Close() //nolint:errcheck // it has ended, or nobody reads it any more
	for stream.Receive() {
		if err := w.told(stream.Msg()); err != nil {
			w.c.obs.fail(lawWatched, "the watch from %d: %v", from, err)
			return
		}
	}
	if connect.CodeOf(stream.Err()) == connect.CodeOutOfRange {
		w.c.obs.fail(lawWatched, "the watch from %d: %v", from, stream.Err())
	}
}

// told takes in a message, and says what is wrong with it.
func (w *watcher) told(message *pb.WatchResponse) error {
	changed := make(map[string]*pb.Record)
	for _, change := range message.GetChanges() {
		key := change.GetDeleted()
		if record := change.GetRecord(); record != nil {
			read, err := wire.ToRecord(record)
			if err != nil {
				return err
			}
			key = wire.StoreKey(read.Key())
		}
		changed[key] = change.GetRecord()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	revision := message.GetRevision()
	if w.loads == nil {
		defer func() { w.at = revision }()
		maps.Copy(w.copied, changed)
		return w.c.obs.sameChanges(w.at, revision, changed)
	}
	maps.Copy(w.loads, changed)
	maps.DeleteFunc(w.loads, func(_ string, record *pb.Record) bool { return record == nil }) // while the rest was told
	if !message.GetSynced() {
		return nil
	}
	w.at, w.copied, w.loads = revision, w.loads, nil
	return w.c.obs.sameChanges(0, revision, w.copied)
}

// durable is a change as it became durable.
type durable struct {
	revision int64
	since    time.Time
	key      string
	record   engine.Record // nil: it was deleted
}

// sameChanges compares what a watch told with what became durable after a revision and
// up to another one. From the beginning on, what is deleted was never there.
func (o *observer) sameChanges(after, upTo int64, told map[string]*pb.Record) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	wanted := make(map[string]engine.Record)
	first, _ := slices.BinarySearchFunc(o.past, after+1, func(d durable, revision int64) int { return cmp.Compare(d.revision, revision) })
	for _, d := range o.past[first:] {
		if d.revision > upTo {
			break
		}
		if wanted[d.key] = d.record; d.record == nil && after == 0 {
			delete(wanted, d.key)
		}
	}
	for key, record := range wanted {
		got, there := told[key]
		switch {
		case !there:
			return fmt.Errorf("from %d to %d, %s was left out", after, upTo, key)
		case (record == nil) != (got == nil):
			return fmt.Errorf("from %d to %d, %s was told as deleted: %t", after, upTo, key, got == nil)
		case record != nil && !proto.Equal(wire.FromRecord(record), got):
			return fmt.Errorf("from %d to %d, %s was told as %v, and is %v", after, upTo, key, got, wire.FromRecord(record))
		}
	}
	for key := range told {
		if _, changed := wanted[key]; !changed {
			return fmt.Errorf("from %d to %d, %s was told and has not changed", after, upTo, key)
		}
	}
	return nil
}

// remember keeps a change for watchers, unless it is hidden from them. The caller holds
// mu.
func (o *observer) remember(revision int64, c change) {
	if c.key.Kind == engine.ClusterKind || c.before == nil && c.after == nil {
		return
	}
	o.past = append(o.past, durable{revision, time.Now(), wire.StoreKey(c.key), c.after})
}

// judgeWatcher wants a watcher to know all, but for what became durable just now.
func (o *observer) judgeWatcher(w *watcher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	before := time.Now().Add(-time.Second)
	for _, d := range slices.Backward(o.past) {
		if d.since.After(before) {
			continue
		}
		if w.at < d.revision {
			o.breaks(lawAgree, "watcher %s knows all up to %d, and that of %d was durable at %.3fs", w.name, w.at, d.revision, d.since.Sub(o.began).Seconds())
		}
		return
	}
}
