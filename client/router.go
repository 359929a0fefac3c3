package client

import (
	"context"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// routerPatience is how long a router waits for a master before it asks another one beside
// it. It is not queued, as agents are; and while no master hears it, drains do not wait for it.
const routerPatience = 500 * time.Millisecond

type routerSession = session[pb.RouterServiceSessionResponse, route.Confirmation]

// RouterSession holds one session of a router until it breaks. It sends every
// confirmation that it takes, and hands each table of the master to apply, in
// order. When confirmations is closed it says goodbye, for a router through which
// nothing is in flight any more: the master forgets it at once. The error is nil
// only if the master ended the session after that.
func (c *Client) RouterSession(
	ctx context.Context, router id.Router, confirmations <-chan route.Confirmation, apply func(route.Table),
) error {
	return holdBeside(ctx, c, routerPatience, func(ctx context.Context, address string) (stream[pb.RouterServiceSessionResponse], routerSession) {
		line := aloftv1connect.NewRouterServiceClient(wholeMessages{c.http}, address).Session(ctx)
		beat := func() error { return line.Send(&pb.RouterServiceSessionRequest{Router: string(router)}) }
		return line, routerSession{
			join: beat,
			beat: beat,
			goodbye: func() error {
				return line.Send(&pb.RouterServiceSessionRequest{Router: string(router), Goodbye: true})
			},
			send: func(confirmation route.Confirmation) error { return line.Send(wire.FromConfirmation(confirmation)) },
			out:  confirmations,
			receive: func(message *pb.RouterServiceSessionResponse) {
				if table := message.GetTable(); table != nil {
					apply(wire.ToTable(table))
				}
			},
		}
	})
}
