package master

import (
	"context"
	"errors"
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

// routerStream is the connection of a router's session.
type routerStream = connect.BidiStream[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse]

// routerService serves the sessions of routers: a type of its own, because the
// method has the name of the agents' one.
type routerService struct{ master *Master }

var _ aloftv1connect.RouterServiceHandler = routerService{}

// Session serves one router until its connection breaks, a newer one takes its
// place, or this master no longer leads.
func (s routerService) Session(ctx context.Context, stream *routerStream) error {
	r, err := s.master.current()
	if err != nil {
		return apiError(err)
	}
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	router := id.Router(first.GetRouter())
	if err := id.Check(router); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	err = r.serveRouter(ctx, stream, router)
	s.master.cfg.Log.InfoContext(ctx, "router's session ended", slog.String("router", string(router)), slog.Any("error", err))
	return apiError(err)
}

func (r *reign) serveRouter(ctx context.Context, stream *routerStream, router id.Router) error {
	link := r.hub.addRouter(router)
	ctx, cancel := context.WithCancelCause(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel(nil)
	defer func() {
		if r.hub.removeRouter(link) {
			leaving, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.SilentAfter)
			defer done()
			_, _ = r.submit(leaving, engine.RouterGone{Router: router}) // a new leader learns it by itself
		}
	}()
	// The engine waits for this router's confirmations before it stops anything,
	// from before the router can be sent a table.
	if _, err := r.submit(ctx, engine.RouterConfirmed{Confirmation: route.Confirmation{Router: router}}); err != nil {
		return err
	}
	working.Go(func() { cancel(r.sendTables(ctx, stream, link)) })
	heard := time.AfterFunc(r.cfg.SilentAfter, func() { cancel(errSilent) })
	defer heard.Stop()
	received := make(chan error, 1)
	go func() { // not waited for: only the return from here ends its last Receive
		received <- r.receiveConfirmations(ctx, stream, link, func() { heard.Reset(r.cfg.SilentAfter) })
	}()
	select {
	case err := <-received:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-link.cut:
		return errReplaced
	case <-r.hub.gone:
		return ErrNoLeader
	}
}

func (r *reign) receiveConfirmations(ctx context.Context, stream *routerStream, link *routerLink, heard func()) error {
	for {
		message, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		heard()
		if message.GetApplied() == nil {
			continue
		}
		confirmation := wire.ToConfirmation(message)
		confirmation.Router = link.router
		r.hub.confirmed(link, confirmation.Version)
		if _, err := r.submit(ctx, engine.RouterConfirmed{Confirmation: confirmation}); err != nil {
			return err
		}
	}
}

func (r *reign) sendTables(ctx context.Context, stream *routerStream, link *routerLink) error {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		message := &pb.RouterServiceSessionResponse{Epoch: r.hub.epoch}
		select {
		case <-link.wake:
			message.Table = wire.FromTable(r.hub.newestTable())
		case <-beat.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}
