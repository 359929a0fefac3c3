package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// quietTimes is how much less often than others a quiet session speaks, and how much
// longer it hears nothing before it is broken: the connection tells that the other side is
// there, and this only that somebody there still has to do with the session.
const quietTimes = 300

// Causes of the end of a session: nothing was heard, or another master was heard first.
var (
	errSilent = errors.New("the master is silent")
	errLate   = errors.New("another master was first")
)

// stream is one open stream of a session: M comes in.
type stream[M any] interface {
	Receive() (*M, error)
	CloseRequest() error
	CloseResponse() error
}

// session is what agents' and routers' sessions have in common: O goes out.
type session[M, O any] struct {
	join    func() error  // sends the first message
	send    func(O) error // sends one that is taken from out
	beat    func() error  // says only that this side is there
	goodbye func() error  // sends the last word, when out is closed
	out     <-chan O
	receive func(*M) // takes each message that comes
	// calm, where it is not nil, makes the session quiet when it is closed: from then on
	// the connection tells each side that the other is there. hurry has it speak as often
	// as others again.
	calm, hurry <-chan struct{}
}

// opener opens the stream of a session with a master.
type opener[M, O any] func(ctx context.Context, address string) (stream[M], session[M, O])

// untilBeat returns how long a session waits with its next heartbeat. The quiet ones of a
// client beat together, and share what it costs to send something on their connection;
// those of other clients do at other moments.
func (c *Client) untilBeat(quiet bool) time.Duration {
	if !quiet {
		return c.cfg.HeartbeatEvery
	}
	every := c.cfg.HeartbeatEvery * quietTimes
	return every - time.Since(c.beat)%every
}

// holdOne keeps a session with one master, and reports whether that has welcomed this
// side: it has said something, and welcomes took that for the first word of all masters.
func holdOne[M, O any](ctx context.Context, c *Client, m master, open opener[M, O], welcomes func() bool) (welcomed bool, err error) {
	watched, cancel := context.WithCancelCause(ctx)
	silence := time.AfterFunc(c.cfg.WelcomeWithin, func() { cancel(errSilent) })
	defer silence.Stop()
	line, s := open(watched, m.address)
	var sending sync.WaitGroup
	saidGoodbye, welcome := false, make(chan struct{})
	err = s.join()
	if err == nil {
		sending.Go(func() {
			saidGoodbye = s.speak(watched, welcome, c.untilBeat)
			// The transport does not hear of the end of ctx while it waits for
			// what is sent next.
			_ = line.CloseRequest()
		})
	}
	heard := sync.OnceValue(func() bool {
		if welcomed = welcomes(); welcomed {
			close(welcome)
		}
		return welcomed
	})
	err = s.listen(line, heard, silence, c.cfg.SilentAfter, err)
	cancel(context.Canceled)
	sending.Wait()
	_ = line.CloseResponse() // the stream is broken, or has just been cancelled
	if saidGoodbye && errors.Is(err, io.EOF) {
		return welcomed, nil
	}
	if ctx.Err() == nil {
		c.failed(m)
	}
	if cause := context.Cause(watched); errors.Is(cause, errSilent) {
		err = cause
	}
	return welcomed, fmt.Errorf("session with %s: %w", m.address, err)
}

// listen hands on what comes until the stream breaks, and says why it did; or until
// heard, which it calls when the master has said something, does not want it. The time
// that receive takes is not the master's silence. What kept the first message from being
// sent is said by the master, if it says anything: the stream itself reports only its end.
func (s *session[M, O]) listen(line stream[M], heard func() bool, silence *time.Timer, silentAfter time.Duration, unsent error) error {
	for {
		message, err := line.Receive()
		silence.Stop()
		switch {
		case err != nil:
			return err
		case unsent != nil:
			return unsent
		case !heard():
			return errLate
		}
		s.receive(message)
		select {
		case <-s.calm:
			silence.Reset(silentAfter * quietTimes)
		default:
			silence.Reset(silentAfter)
		}
	}
}

// speak sends what comes, and heartbeats, once the master has welcomed this side,
// since what a master takes that does not lead is lost; until ctx is done or the
// stream is broken: then its reader learns of it too. It reports whether it has
// said goodbye, which ends it as well.
func (s *session[M, O]) speak(ctx context.Context, welcome <-chan struct{}, untilBeat func(quiet bool) time.Duration) bool {
	calm, hurry, quiet := s.calm, s.hurry, false
	due := time.NewTimer(untilBeat(quiet))
	defer due.Stop()
	var out <-chan O
	for {
		var err error
		select {
		case <-welcome:
			welcome, out = nil, s.out
		case message, open := <-out:
			if !open {
				return s.goodbye() == nil
			}
			err = s.send(message)
		case <-calm:
			calm, quiet = nil, hurry != nil
			due.Reset(untilBeat(quiet))
		case <-hurry:
			hurry, quiet = nil, false
			due.Reset(untilBeat(quiet))
			err = s.beat()
		case <-due.C:
			due.Reset(untilBeat(quiet))
			if welcome == nil { // until then nobody takes it for silence
				err = s.beat()
			}
		case <-ctx.Done():
			return false
		}
		if err != nil {
			return false
		}
	}
}
