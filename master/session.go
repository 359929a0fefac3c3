package master

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Causes of the end of a session.
var (
	errNamesake = errors.New("is connected already, from another data folder: give one of the two another --id, or end the other one")
	errReplaced = errors.New("a newer session took its place")
	errSilent   = errors.New("nothing was heard for too long")
)

// messages is the way of a session's messages: In comes from the client, Out goes
// to it.
type messages[In, Out any] interface {
	Receive() (*In, error)
	Send(message *Out) error
}

// Stream is a session that does not come over HTTP, as in a simulation. Receive
// and Send fail with os.ErrDeadlineExceeded when their deadline has passed, also
// one that is set while they wait.
type Stream[In, Out any] interface {
	messages[In, Out]
	deadlines
}

// ServeAgent serves an agent as the handler of its sessions does.
func (m *Master) ServeAgent(ctx context.Context, stream Stream[pb.SessionRequest, pb.SessionResponse]) error {
	return m.agentSession(onLine(ctx, line{control: stream}), stream)
}

// ServeRouter serves a router as the handler of its sessions does.
func (m *Master) ServeRouter(
	ctx context.Context, stream Stream[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse],
) error {
	return m.routerSession(onLine(ctx, line{control: stream}), stream)
}

// converse is what every session is: it listens and speaks at the same time,
// until one of the two ends, and returns what ended it first, nil for a client
// that went away in good order. Both have ended when it returns.
func (r *reign) converse(ctx context.Context, listen, speak func(ctx context.Context, v *vigil) error) error {
	line := lineOf(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	v := newVigil(line, r.cfg.SilentAfter)
	defer v.stop()
	var speaking sync.WaitGroup
	defer speaking.Wait()
	defer cancel(nil)
	speaking.Go(func() {
		cancel(r.protect(ctx, func() error { return speak(ctx, v) }))
		line.hangUp()
	})
	err := listen(ctx, v)
	line.sayWithin(r.cfg.SilentAfter) // for what is still to be said
	cancel(err)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, io.EOF):
		return nil
	case errors.Is(cause, os.ErrDeadlineExceeded):
		return errSilent
	default:
		return cause
	}
}
