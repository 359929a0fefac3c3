package master

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// routerStream is a router's session.
type routerStream = messages[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse]

// routerService serves the sessions of routers.
type routerService struct{ master *Master }

var _ aloftv1connect.RouterServiceHandler = routerService{}

// Session serves one router.
func (s routerService) Session(
	ctx context.Context, stream *connect.BidiStream[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse],
) error {
	return apiError(s.master.routerSession(ctx, stream))
}

// routerSession serves one router until its connection breaks, a newer one takes
// its place, or this master no longer leads.
func (m *Master) routerSession(ctx context.Context, stream routerStream) error {
	r, err := m.current()
	if err != nil {
		return err
	}
	lineOf(ctx).hearWithin(r.cfg.SilentAfter)
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	name := slog.String("router", first.GetRouter())
	r.cfg.Log.InfoContext(ctx, "router joins", name)
	err = r.serveRouter(ctx, stream, id.Router(first.GetRouter()))
	r.cfg.Log.InfoContext(ctx, "router's session ended", name, slog.Any("error", err))
	return err
}

func (r *reign) serveRouter(ctx context.Context, stream routerStream, router id.Router) error {
	link := newRouterLink(router)
	defer func() { // also when it is not known whether it has joined
		_ = r.routerEnded(context.WithoutCancel(ctx), link, engine.RouterGone{Router: router})
	}()
	// The engine waits for this router's confirmations before it stops anything,
	// from before the router can be sent a table.
	_, err := r.fold(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) {
		answer, err := e.Step(engine.RouterConfirmed{Confirmation: route.Confirmation{Router: router}}, now)
		if err == nil {
			r.hub.addRouter(link)
		}
		return answer, err
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	return r.converse(ctx, end,
		func(v *vigil) error { return r.receiveConfirmations(ctx, v, stream, link) },
		func(v *vigil, failed func(error)) (done func()) {
			var speaking sync.WaitGroup
			speaking.Go(func() { failed(r.protect(ctx, func() error { return r.sendTables(ctx, v, stream, link) })) })
			return speaking.Wait
		})
}

// routerEnded tells the engine how the session of a router has ended, unless a
// newer one has taken its place.
func (r *reign) routerEnded(ctx context.Context, link *routerLink, how engine.Event) error {
	_, err := r.fold(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) {
		if r.hub.routerLink(link.router) != link {
			return engine.Answer{}, nil
		}
		r.hub.removeRouter(link)
		return e.Step(how, now)
	})
	return err
}

func (r *reign) receiveConfirmations(ctx context.Context, v *vigil, stream routerStream, link *routerLink) error {
	for {
		v.hear()
		message, err := stream.Receive()
		if err != nil {
			return err
		}
		if message.GetGoodbye() {
			if err := r.routerEnded(ctx, link, engine.RouterLeft{Router: link.router}); err != nil {
				return err
			}
			return io.EOF // nothing that comes after it counts
		}
		if message.GetApplied() == nil {
			continue
		}
		v.pause()
		confirmation := wire.ToConfirmation(message)
		confirmation.Router = link.router
		_, err = r.fold(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) {
			if r.hub.routerLink(link.router) != link {
				return engine.Answer{}, errReplaced
			}
			r.hub.confirmed(link, confirmation)
			return e.Step(engine.RouterConfirmed{Confirmation: confirmation}, now)
		})
		if err != nil {
			return err
		}
	}
}

// sendTables sends the newest table whenever there is one, and heartbeats.
func (r *reign) sendTables(ctx context.Context, v *vigil, stream routerStream, link *routerLink) error {
	beat := time.NewTicker(r.cfg.beatEvery())
	defer beat.Stop()
	for {
		message := &pb.RouterServiceSessionResponse{Epoch: r.term.Epoch()}
		select {
		case <-link.wake:
			message.Table = wire.FromTable(r.hub.newestTable())
		case <-beat.C:
		case <-link.cut:
			return errReplaced
		case <-r.over:
			return ErrNoLeader
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := v.say(func() error { return stream.Send(message) }); err != nil {
			return err
		}
	}
}
