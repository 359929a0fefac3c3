package master

import (
	"context"
	"errors"
	"io"
	"os"
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

// converse is what every session is: it listens and speaks at the same time,
// until one of the two ends, and returns what ended it first, nil for a client
// that went away in good order. Both have ended when it returns.
//
// What speak begins has ended when done returns; it calls ended where it ends before.
func (r *reign) converse(ctx context.Context, listen func(ctx context.Context, v *vigil) error,
	speak func(ctx context.Context, v *vigil, ended func(error)) (done func()),
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	v := r.vigils.begin(lineOf(ctx), r.cfg.SilentAfter)
	defer v.stop()
	done := speak(ctx, v, cancel)
	defer done()
	defer cancel(nil)
	context.AfterFunc(ctx, func() { v.use(line.hangUp) })
	err := listen(ctx, v)
	lineOf(ctx).sayWithin(r.cfg.SilentAfter) // for what is still to be said
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
