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
// 4 MiB that clients of gRPC take unless told otherwise. Each watcher that does not read
// holds a copy of one.
const watchBytesMax = 256 << 10

// watchHere serves a watch from the state of this master's own term.
func (s *clusterService) watchHere(ctx context.Context, ask *pb.WatchRequest, send func(watchMessage) error) error {
	r, err := s.master.current()
	if err != nil {
		return err
	}
	if err := r.asker.confirm(ctx); err != nil {
		return err
	}
	w := watch{view: r.view, pace: r.pace, over: r.over, service: id.Service(ask.GetService()), notes: ask.GetNotes(), send: send}
	defer w.pace.join()()
	switch from := ask.GetFromRevision(); {
	case from < 0:
		return invalidArgument(fmt.Errorf("from_revision: found %d; want 0 or more", from))
	case from > 0:
		if err := r.awaitRecall(ctx); err != nil {
			return err
		}
		err = w.resume(from)
	default:
		err = w.snapshot(ctx)
	}
	if err == nil {
		err = w.follow(ctx)
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
	pace    *pace
	over    <-chan struct{} // closed when the reign is over
	service id.Service      // "" is all
	notes   bool
	send    func(watchMessage) error
	next    int64 // number of the batch to send next
	begun   int   // how many changes of that are sent
	sent    int64 // all up to this revision has been sent
	until   int64 // number of the batch before which the watch is not synced
	synced  bool
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
	w.next, w.sent, w.synced = s.first+int64(i), from, true
	return nil
}

// snapshot sends all that is there, by kind and name, and then what has changed while it
// did: a part may be told in an older state after a newer one, but once the watch is
// synced it has been told of all as it was at that revision. So readers of everything
// hold up publications for no longer than others do.
func (w *watch) snapshot(ctx context.Context) error {
	w.next, w.sent = w.view.now()
	part := make([]byte, 0, watchBytesMax)
	for kind := range w.view.kinds {
		for chunk := range slices.Chunk(w.view.namesOf(engine.Kind(kind)), namesChunk) {
			var err error
			if part, err = w.tellNamed(ctx, part, engine.Kind(kind), chunk); err != nil {
				return err
			}
		}
	}
	if err := w.tellPart(ctx, part); err != nil {
		return err
	}
	w.until, _ = w.view.now()
	for !w.synced {
		if _, err := w.catchUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tellNamed sends the records of those names, but for a part that is too small to be sent
// by itself: it takes up one of before, and returns the one that is left.
func (w *watch) tellNamed(ctx context.Context, part []byte, kind engine.Kind, names []string) ([]byte, error) {
	for _, record := range w.named(kind, names) {
		var err error
		if part, err = wire.AppendChange(part, engine.Change{Key: record.Key(), Record: record}); err != nil {
			return part, fmt.Errorf("%s: %w", wire.StoreKey(record.Key()), err)
		}
		if len(part) < watchBytesMax {
			continue
		}
		if err := w.tellPart(ctx, part); err != nil {
			return part, err
		}
		part = part[:0] // it has been copied
	}
	return part, nil
}

// now returns the number of the next batch, and up to which revision those before it go.
func (v *view) now() (next, revision int64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.story.end(), v.revision
}

// named returns the records of those names that are there and are wanted.
func (w *watch) named(kind engine.Kind, names []string) []engine.Record {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	records := make([]engine.Record, 0, len(names))
	for _, name := range names {
		if record, there := w.view.kinds[kind][name]; there && w.wants(record) {
			records = append(records, record)
		}
	}
	return records
}

// tellPart sends a part of what is there, when it is this watcher's turn.
func (w *watch) tellPart(ctx context.Context, changes []byte) error {
	if len(changes) == 0 {
		return nil
	}
	end, err := w.pace.turn(ctx, w.over)
	if err != nil {
		return err
	}
	defer end()
	return w.tell(draft{parts: [][]byte{changes}, size: len(changes)})
}

// follow sends every batch until the watcher or the reign has gone. What came while it
// waited for its turn goes into one message.
func (w *watch) follow(ctx context.Context) error {
	for {
		more, err := w.catchUp(ctx)
		if err != nil {
			return err
		}
		if more == nil {
			continue
		}
		select {
		case <-more:
		case <-w.over:
			return ErrNoLeader
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// catchUp sends one message of what was not sent yet, when it is this watcher's turn. It
// returns what is closed when there is more, nil where there is already.
func (w *watch) catchUp(ctx context.Context) (more <-chan struct{}, err error) {
	end, err := w.pace.turn(ctx, w.over)
	if err != nil {
		return nil, err
	}
	defer end()
	d, more, err := w.fill()
	if err != nil {
		return nil, err
	}
	before := w.synced
	if w.synced = before || w.next >= w.until; before && d.empty() {
		return more, nil
	}
	return more, w.tell(d)
}

// fill takes what is to be sent next, about as much as a message carries. It returns
// what is closed when there is more, nil where there is already. Of the messages of a
// large batch only the last carries the batch's revision: who resumes from one before
// it gets the whole batch again.
func (w *watch) fill() (draft, <-chan struct{}, error) {
	var d draft
	for d.size < watchBytesMax {
		batch, more, err := w.waiting()
		if err != nil || more != nil {
			return d, more, err
		}
		t, err := batch.told()
		if err != nil {
			return d, nil, err
		}
		if w.begun = d.add(t, w.begun, w.service); w.begun < len(t.each) {
			break
		}
		for _, n := range batch.notes {
			if w.notes && (w.service == "" || n.note.Service == w.service) {
				d.notes = append(d.notes, wire.FromNote(n.seq, n.note))
			}
		}
		w.next, w.begun, w.sent = w.next+1, 0, batch.revision
	}
	return d, nil, nil
}

// waiting returns the batch that is to be sent next, or what is closed when there is
// one.
func (w *watch) waiting() (published, <-chan struct{}, error) {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	s := &w.view.story
	switch {
	case w.next < s.first:
		return published{}, nil, errTrimmed
	case w.next == s.end():
		return published{}, w.view.published, nil
	default:
		return s.batches[w.next-s.first], nil, nil
	}
}

// tell sends one message.
func (w *watch) tell(d draft) error {
	rest, err := proto.Marshal(&pb.WatchResponse{Revision: w.sent, Notes: d.notes, Synced: w.synced})
	if err != nil {
		return err
	}
	return w.send(watchMessage{parts: append(d.parts, rest), revision: w.sent, synced: w.synced})
}

// wants reports whether a record belongs to what is watched.
func (w *watch) wants(record engine.Record) bool {
	return !isHidden(record) && (w.service == "" || serviceOf(record) == w.service)
}
