package master

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// watchBytesMax is about what one message of a watch carries: well below the
// 4 MiB that clients of gRPC take unless told otherwise.
const watchBytesMax = 1 << 20

// watchHere serves a watch from the state of this master's own term.
func (s *clusterService) watchHere(ctx context.Context, ask *pb.WatchRequest, send func(*pb.WatchResponse) error) error {
	r, err := s.master.current()
	if err != nil {
		return err
	}
	if err := r.asker.confirm(ctx); err != nil {
		return err
	}
	w := watch{view: r.view, service: id.Service(ask.GetService()), notes: ask.GetNotes(), send: send}
	switch from := ask.GetFromRevision(); {
	case from < 0:
		return invalidArgument(fmt.Errorf("from_revision: found %d; want 0 or more", from))
	case from > 0:
		if err := r.awaitRecall(ctx); err != nil {
			return err
		}
		err = w.resume(from)
	default:
		err = w.snapshot()
	}
	if err == nil {
		err = w.follow(ctx, r.over)
	}
	return err
}

// sender returns how to send to a client that may take only so long to read.
func sender[M any](ctx context.Context, stream *connect.ServerStream[M]) func(*M) error {
	line := lineOf(ctx)
	line.hearAnytime() // the request has come
	line.sayAnytime()
	return func(m *M) error {
		line.sayWithin(answerWithin)
		defer line.sayAnytime()
		return stream.Send(m)
	}
}

// watch is one reader that follows the story.
type watch struct {
	view    *view
	service id.Service // "" is all
	notes   bool
	send    func(*pb.WatchResponse) error
	next    int64 // number of the batch to send next
	sent    int64 // all up to this revision has been sent
}

// resume finds the first batch after a revision.
func (w *watch) resume(from int64) error {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	s := &w.view.story
	if from < s.since || from > w.view.revision {
		return errTrimmed
	}
	i, _ := slices.BinarySearchFunc(s.batches, from+1, func(b published, revision int64) int {
		return cmp.Compare(b.revision, revision)
	})
	w.next, w.sent = s.first+int64(i), from
	return nil
}

// snapshot sends all that is there now, by kind and name.
func (w *watch) snapshot() error {
	records, revision := w.collect()
	var changes []*pb.WatchChange
	size := 0
	for _, record := range records {
		change := &pb.WatchChange{Record: wire.FromRecord(record)}
		if changes, size = append(changes, change), size+proto.Size(change); size >= watchBytesMax {
			if err := w.send(&pb.WatchResponse{Revision: revision, Changes: changes}); err != nil {
				return err
			}
			changes, size = nil, 0
		}
	}
	w.sent = revision
	return w.send(&pb.WatchResponse{Revision: revision, Changes: changes, Synced: true})
}

// collect returns all that there is now and is wanted, by kind and name.
func (w *watch) collect() ([]engine.Record, int64) {
	v := w.view
	for kind := range v.kinds {
		v.namesOf(engine.Kind(kind)) // sorts what is new while it holds nobody up
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	var records []engine.Record
	for kind, of := range v.kinds {
		for _, name := range v.names[kind].now() {
			if record, there := of[name]; there && w.wants(record) {
				records = append(records, record)
			}
		}
	}
	w.next = v.story.first + int64(len(v.story.batches))
	return records, v.revision
}

// follow sends every batch until the watcher or the reign has gone.
func (w *watch) follow(ctx context.Context, over <-chan struct{}) error {
	for {
		batches, more, err := w.waiting()
		if err != nil {
			return err
		}
		for _, batch := range batches {
			if err := w.sendBatch(batch); err != nil {
				return err
			}
		}
		select {
		case <-more:
		case <-over:
			return ErrNoLeader
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waiting returns the batches that are not sent yet, and what is closed when
// there are more.
func (w *watch) waiting() ([]published, <-chan struct{}, error) {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	s := &w.view.story
	if w.next < s.first {
		return nil, nil, errTrimmed
	}
	batches := slices.Clone(s.batches[w.next-s.first:])
	w.next += int64(len(batches))
	return batches, w.view.published, nil
}

// sendBatch sends what of a batch the watcher wants. Of several messages only
// the last carries the batch's revision: who resumes from one before it gets the
// whole batch again.
func (w *watch) sendBatch(batch published) error {
	changes, err := batch.all()
	if err != nil {
		return err
	}
	m := &pb.WatchResponse{Synced: true}
	size := 0
	for _, change := range changes {
		var c *pb.WatchChange
		switch {
		case change.Record != nil && w.wants(change.Record):
			c = &pb.WatchChange{Record: wire.FromRecord(change.Record)}
		case change.Record == nil && w.wants(change.before):
			c = &pb.WatchChange{Deleted: wire.StoreKey(change.Key)}
		default:
			continue
		}
		if size >= watchBytesMax {
			m.Revision = w.sent
			if err := w.send(m); err != nil {
				return err
			}
			m, size = &pb.WatchResponse{Synced: true}, 0
		}
		m.Changes, size = append(m.Changes, c), size+proto.Size(c)
	}
	for _, n := range batch.notes {
		if w.notes && (w.service == "" || n.note.Service == w.service) {
			m.Notes = append(m.Notes, wire.FromNote(n.seq, n.note))
		}
	}
	w.sent = batch.revision
	if m.Revision = w.sent; len(m.GetChanges())+len(m.GetNotes()) == 0 {
		return nil
	}
	return w.send(m)
}

// wants reports whether a record belongs to what is watched. What leaders keep
// for each other is not shown.
func (w *watch) wants(record engine.Record) bool {
	if _, hidden := record.(*engine.Cluster); hidden {
		return false
	}
	return w.service == "" || serviceOf(record) == w.service
}
