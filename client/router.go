package client

import (
	"context"
	"fmt"
	"sync"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// RouterSession holds one session of a router until it breaks. It sends every
// confirmation that it takes, and hands each table of the master to apply, in
// order. The error is never nil.
func (c *Client) RouterSession(
	ctx context.Context, router id.Router, confirmations <-chan route.Confirmation, apply func(route.Table),
) error {
	err := c.routerSession(ctx, router, confirmations, apply)
	if ctx.Err() == nil {
		c.failed()
	}
	return fmt.Errorf("session with %s: %w", c.master(), err)
}

func (c *Client) routerSession(
	ctx context.Context, router id.Router, confirmations <-chan route.Confirmation, apply func(route.Table),
) error {
	ctx, heard, stop := watched(ctx)
	stream := aloftv1connect.NewRouterServiceClient(c.http, c.master()).Session(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()

	join := &pb.RouterServiceSessionRequest{Router: string(router)}
	if err := stream.Send(join); err != nil {
		return ended(ctx, receiveError(stream.Receive, err))
	}
	sending.Go(func() {
		beats(ctx, confirmations, func(confirmation route.Confirmation) error {
			return stream.Send(wire.FromConfirmation(confirmation))
		}, func() error { return stream.Send(join) })
	})
	for {
		message, err := stream.Receive()
		if err != nil {
			return ended(ctx, err)
		}
		heard()
		if table := message.GetTable(); table != nil {
			apply(wire.ToTable(table))
		}
	}
}
