package master

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// snapshotPage bounds the records in one message of a watch.
const snapshotPage = 1000

// Watch sends everything that is there, or nothing when it resumes, and then
// every change. A watcher that is too slow for the history is ended with
// "out_of_range", and may resume with a watch from 0.
func (s *clusterService) Watch(
	ctx context.Context, req *connect.Request[pb.WatchRequest], stream *connect.ServerStream[pb.WatchResponse],
) error {
	r, err := s.master.current()
	if err != nil {
		return apiError(err)
	}
	w := watch{view: r.view, service: id.Service(req.Msg.GetService()), notes: req.Msg.GetNotes(), send: stream.Send}
	if from := req.Msg.GetFromRevision(); from > 0 {
		err = w.resume(from)
	} else {
		err = w.snapshot()
	}
	if err == nil {
		err = w.follow(ctx, r.over)
	}
	return apiError(err)
}

// watch is one reader that follows the story.
type watch struct {
	view    *view
	service id.Service // "" is all
	notes   bool
	send    func(*pb.WatchResponse) error
	next    int64 // number of the batch to send next
}

// resume finds the first batch after a revision.
func (w *watch) resume(from int64) error {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	s := &w.view.story
	if from < s.since {
		return errTrimmed
	}
	i, _ := slices.BinarySearchFunc(s.batches, from+1, func(b published, revision int64) int {
		return cmp.Compare(b.revision, revision)
	})
	w.next = s.first + int64(i)
	return nil
}

// snapshot sends all that is there now, by kind and name.
func (w *watch) snapshot() error {
	records, revision := w.collect()
	page := &pb.WatchResponse{Revision: revision}
	for _, record := range records {
		page.Changes = append(page.Changes, &pb.WatchChange{Record: wire.FromRecord(record)})
		if len(page.Changes) == snapshotPage {
			if err := w.send(page); err != nil {
				return err
			}
			page = &pb.WatchResponse{Revision: revision}
		}
	}
	page.Synced = true
	return w.send(page)
}

func (w *watch) collect() ([]engine.Record, int64) {
	w.view.mu.RLock()
	defer w.view.mu.RUnlock()
	var records []engine.Record
	for _, record := range w.view.records {
		if w.wantsRecord(record) {
			records = append(records, record)
		}
	}
	slices.SortFunc(records, func(a, b engine.Record) int { return compareKeys(a.Key(), b.Key()) })
	w.next = w.view.story.first + int64(len(w.view.story.batches))
	return records, w.view.revision
}

func compareKeys(a, b engine.Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

// follow sends every batch until the watcher or the reign has gone.
func (w *watch) follow(ctx context.Context, over <-chan struct{}) error {
	for {
		batches, more, err := w.waiting()
		if err != nil {
			return err
		}
		for _, batch := range batches {
			if message := w.message(batch); message != nil {
				if err := w.send(message); err != nil {
					return err
				}
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

// message returns what of a batch the watcher wants, or nil.
func (w *watch) message(batch published) *pb.WatchResponse {
	m := &pb.WatchResponse{Revision: batch.revision, Synced: true}
	for _, change := range batch.changes {
		switch {
		case change.Record == nil && w.wantsDeleted(change.Key):
			m.Changes = append(m.Changes, &pb.WatchChange{Deleted: wire.StoreKey(change.Key)})
		case change.Record != nil && w.wantsRecord(change.Record):
			m.Changes = append(m.Changes, &pb.WatchChange{Record: wire.FromRecord(change.Record)})
		}
	}
	for _, n := range batch.notes {
		if w.notes && (w.service == "" || n.note.Service == w.service) {
			m.Notes = append(m.Notes, wire.FromNote(n.seq, n.note))
		}
	}
	if len(m.Changes)+len(m.Notes) == 0 {
		return nil
	}
	return m
}

func (w *watch) wantsRecord(record engine.Record) bool {
	if w.service == "" {
		return true
	}
	switch r := record.(type) {
	case *engine.Service:
		return r.Name == w.service
	case *engine.Revision:
		return r.Service == w.service
	case *engine.Deployment:
		return r.Service == w.service
	case *engine.Task:
		return r.Service == w.service
	default:
		return false
	}
}

// wantsDeleted reports whether what stood under key may have belonged to the
// service: the names of tasks, deployments and revisions begin with its name.
func (w *watch) wantsDeleted(key engine.Key) bool {
	return w.service == "" || key.Kind >= engine.ServiceKind && strings.HasPrefix(key.ID, string(w.service))
}

// apiError gives an error the code that clients act on.
func apiError(err error) error {
	var coded *connect.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, ErrNoLeader):
		return connect.NewError(connect.CodeUnavailable, err)
	case errors.Is(err, errTrimmed):
		return connect.NewError(connect.CodeOutOfRange, err)
	case errors.Is(err, engine.ErrUnknown):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, engine.ErrStale):
		return connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, engine.ErrInvalid):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, engine.ErrConflict):
		return connect.NewError(connect.CodeFailedPrecondition, err)
	case errors.Is(err, errReplaced):
		return connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	default:
		return connect.NewError(connect.CodeInternal, err)
	}
}
