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

// converse is what every session is: it listens and speaks at the same time, until one of
// the two ends, or end is called, and returns what ended it first, nil for a client that
// went away in good order. Both have ended when it returns.
//
// end must cancel ctx. What speak begins has ended when done returns; where it cannot go on
// before, it says why.
func (r *reign) converse(ctx context.Context, end context.CancelCauseFunc,
	listen func(v *vigil) error, speak func(v *vigil, failed func(error)) (done func()),
) error {
	v := r.vigils.begin(lineOf(ctx), r.cfg.SilentAfter)
	defer v.stop()
	defer speak(v, end)()
	defer end(nil)
	defer context.AfterFunc(ctx, func() { v.use(line.hangUp) })()
	err := listen(v)
	lineOf(ctx).sayWithin(r.cfg.SilentAfter) // for what is still to be said
	end(err)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, io.EOF):
		return nil
	case errors.Is(cause, os.ErrDeadlineExceeded):
		return errSilent
	default:
		return cause
	}
}
