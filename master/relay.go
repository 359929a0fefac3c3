package master

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// untilClosing returns a context that is done when this master ends, too: nobody
// else ends its relays. The caller must call done.
func (m *Master) untilClosing(ctx context.Context) (bounded context.Context, done func()) {
	return until(ctx, m.closing, ErrNoLeader)
}

// until returns a context that is done with that cause when over is closed, too. The
// caller must call done.
func until(ctx context.Context, over <-chan struct{}, cause error) (bounded context.Context, done func()) {
	bounded, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-over:
			cancel(cause)
		case <-bounded.Done():
		}
	})
	return bounded, func() {
		cancel(nil)
		watching.Wait()
	}
}

// leaderOfStream returns who shall serve a stream, once somebody can.
func (m *Master) leaderOfStream(ctx context.Context, header http.Header) (leader, error) {
	return m.awaitLeader(ctx, time.Now().Add(leaderWithin), header)
}

// watch sends everything that is there, or nothing when it resumes, and then
// every change. A watcher that is too slow for the history is ended with
// "out_of_range", and may begin again with a watch from 0. When the leader
// changes, the watch goes on with the next one, if that has the history.
func (s *clusterService) watch(
	ctx context.Context, req *connect.Request[pb.WatchRequest], stream *connect.ServerStream[encoded[pb.WatchResponse]],
) error {
	ask := &pb.WatchRequest{FromRevision: req.Msg.GetFromRevision(), Service: req.Msg.GetService(), Notes: req.Msg.GetNotes()}
	ctx, done := s.master.untilClosing(ctx)
	defer done()
	begun := false
	passOn := sender(ctx, stream)
	send := func(m watchMessage) error {
		begun = true
		if m.synced {
			ask.FromRevision = m.revision
		}
		return passOn(&encoded[pb.WatchResponse]{parts: m.parts})
	}
	for came := time.Now(); ; s.master.lookAgain(ctx) {
		now, err := s.master.leaderOfStream(ctx, req.Header())
		if err != nil {
			return apiError(err)
		}
		err = s.watchAt(ctx, now, ask, send)
		switch {
		case !errors.Is(err, errLeaderGone):
			return apiError(err)
		case !begun && time.Since(came) > leaderWithin:
			return apiError(ErrNoLeader)
		case begun && ask.GetFromRevision() == 0:
			return apiError(errInDoubt) // half of what was there is sent: the other half may have changed
		}
	}
}

// watchAt watches here, or at the master that leads.
func (s *clusterService) watchAt(ctx context.Context, now leader, ask *pb.WatchRequest, send func(watchMessage) error) error {
	if now.id == s.master.cfg.ID {
		err := s.watchHere(ctx, ask, send)
		if errors.Is(err, ErrNoLeader) && ctx.Err() == nil {
			return errLeaderGone
		}
		return err
	}
	req := connect.NewRequest(ask)
	req.Header().Set(forwardedHeader, s.master.cfg.ID)
	leader := connect.NewClient[pb.WatchRequest, encoded[pb.WatchResponse]](
		&http.Client{Transport: s.master.away}, now.address+aloftv1connect.ClusterServiceWatchProcedure, withBinary())
	from, err := leader.CallServerStream(ctx, req)
	if err != nil {
		return relayed(ctx, err)
	}
	return relay(ctx, from, func(m *encoded[pb.WatchResponse]) error {
		revision, synced, err := wire.WatchHead(m.appendTo(nil))
		if err != nil {
			return err
		}
		return send(watchMessage{parts: m.parts, revision: revision, synced: synced})
	})
}

// logsAt has the leader serve a call for logs. It does not go on with the next
// one: what was sent would come again.
func (s *clusterService) logsAt(ctx context.Context, now leader, ask *pb.LogsRequest, send func(*pb.LogsResponse) error) error {
	req := connect.NewRequest(ask)
	req.Header().Set(forwardedHeader, s.master.cfg.ID)
	from, err := s.master.clusterAt(now).Logs(ctx, req)
	if err == nil {
		err = relay(ctx, from, send)
	}
	if errors.Is(err, errLeaderGone) {
		return errInDoubt
	}
	return err
}

// errLeaderGone is the error of a stream whose leader leads no more, or died.
var errLeaderGone = errors.New("the leader has gone")

// clusterAt returns the API of another master.
func (m *Master) clusterAt(l leader) aloftv1connect.ClusterServiceClient {
	return aloftv1connect.NewClusterServiceClient(&http.Client{Transport: m.away}, l.address)
}

// relay passes on what comes from a leader until that ends.
func relay[M any](ctx context.Context, from *connect.ServerStreamForClient[M], send func(*M) error) error {
	defer func() { _ = from.Close() }() // it has ended, or is not wanted any more
	for from.Receive() {
		if err := send(from.Msg()); err != nil {
			return err
		}
	}
	return relayed(ctx, from.Err())
}

// relayed tells an answer of the leader from the loss of the leader.
func relayed(ctx context.Context, err error) error {
	answer, coded := errors.AsType[*connect.Error](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !coded || !connect.IsWireError(err) || answer.Meta().Get(StandbyHeader) != "" || answer.Code() == connect.CodeUnavailable:
		return errLeaderGone
	}
	answered := connect.NewError(answer.Code(), errors.New(answer.Message()))
	for _, detail := range answer.Details() {
		answered.AddDetail(detail)
	}
	return answered
}
