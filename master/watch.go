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
func (w *watch) snapshot(ctx context.Context) error {
	records, revision := w.collect()
	var changes []byte
	for _, record := range records {
		var err error
		if changes, err = wire.AppendChange(changes, engine.Change{Key: record.Key(), Record: record}); err != nil {
			return fmt.Errorf("%s: %w", wire.StoreKey(record.Key()), err)
		}
		if len(changes) < watchBytesMax {
			continue
		}
		if err := w.tellPart(ctx, changes, revision, false); err != nil {
			return err
		}
		changes = changes[:0] // it has been copied
	}
	w.sent = revision
	return w.tellPart(ctx, changes, revision, true)
}

// tellPart sends a part of what is there, when it is this watcher's turn.
func (w *watch) tellPart(ctx context.Context, changes []byte, revision int64, last bool) error {
	end, err := w.pace.turn(ctx, w.over)
	if err != nil {
		return err
	}
	defer end()
	return w.tell(draft{parts: [][]byte{changes}, size: len(changes)}, revision, last)
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
	if err == nil && !d.empty() {
		err = w.tell(d, w.sent, true)
	}
	return more, err
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
	case w.next == s.first+int64(len(s.batches)):
		return published{}, w.view.published, nil
	default:
		return s.batches[w.next-s.first], nil, nil
	}
}

// tell sends one message.
func (w *watch) tell(d draft, revision int64, synced bool) error {
	rest, err := proto.Marshal(&pb.WatchResponse{Revision: revision, Notes: d.notes, Synced: synced})
	if err != nil {
		return err
	}
	return w.send(watchMessage{parts: append(d.parts, rest), revision: revision, synced: synced})
}

// wants reports whether a record belongs to what is watched.
func (w *watch) wants(record engine.Record) bool {
	return !isHidden(record) && (w.service == "" || serviceOf(record) == w.service)
}
