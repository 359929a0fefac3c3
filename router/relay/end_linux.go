package relay

import (
	"bytes"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/kernel"
	"github.com/aloft-run/aloft/poller"
)

// end is one of the two sockets of a couple, with what is on its way to the other one. Whoever
// runs the couple owns it.
type end struct {
	couple *couple
	other  *end
	news   atomic.Uint32 // the poller.Events that nobody has learned of
	fd     int
	token  poller.Token
	joined bool // the loop has it

	readable bool // there may be something to read
	ending   bool // it is to be read until it has said that it is at its end, or broke
	spoken   bool // it has said its last word
	told     bool // and so the other was told
	writable bool // it may take something

	held   []byte // what was read and the other did not take
	pipe   *pipe  // the same, while it speaks in bulk; else nil
	bulk   bool   // what it said last was much
	passed int64  // what the other took
}

// Ready passes on what there is, both ways: what can be read here, and what can be
// written.
func (e *end) Ready(events poller.Events) (again bool) {
	e.news.Or(uint32(events))
	return e.couple.run()
}

// learn notes what it was told.
func (e *end) learn() {
	events := poller.Events(e.news.Swap(0)) //nolint:gosec // it holds nothing else
	e.readable = e.readable || events&poller.Readable != 0
	e.writable = e.writable || events&poller.Writable != 0
	e.ending = e.ending || events&poller.Ending != 0
}

// move passes on what there is of what this end says, and reports whether there may be
// more. It leaves some for the next turn if it is very much.
func (e *end) move(buffer []byte) (more bool, err error) {
	for turn := 0; ; turn++ {
		if err := e.flush(); err != nil {
			return false, err
		}
		switch {
		case e.isHeld():
			return false, nil // until the other end takes it
		case e.spoken:
			return false, e.tell()
		case !e.readable:
			e.leaveBulk()
			return false, nil
		case turn == turnsMax:
			return true, nil
		}
		if err := e.read(buffer); err != nil {
			return false, err
		}
	}
}

// turnsMax is how many buffers or pipes full an end may pass on before it is the turn of
// others.
const turnsMax = 8

// read takes what is there. When a buffer is full of it, a pipe comes in its place, until
// there was less.
func (e *end) read(buffer []byte) error {
	if e.pipe == nil && e.bulk {
		e.pipe = e.couple.relay.pipes.take() // without a descriptor the buffer goes on
	}
	if e.pipe != nil {
		return e.fill()
	}
	n, err := kernel.Read(e.fd, buffer)
	if n <= 0 || err != nil {
		return e.took(n, err)
	}
	if e.bulk = n == len(buffer); !e.bulk && !e.ending {
		e.readable = false // that was all
	}
	return e.give(buffer[:n])
}

// fill takes what is there into the pipe. No pipe takes what is urgent: it is as if nothing were
// there, or as if it were the end. A read knows.
func (e *end) fill() error {
	n, err := e.pipe.fill(e.fd, pipeSize)
	switch {
	case n > 0:
		e.bulk = n >= bufferSize
	case err == nil, e.ending && kernel.IsLater(err):
		e.bulk = false
		e.leaveBulk()
	default:
		return e.took(n, err)
	}
	return nil
}

// took notes what came of reading.
func (e *end) took(n int, err error) error {
	switch {
	case kernel.IsLater(err):
		e.readable = false
		return nil
	case err != nil:
		return err
	}
	e.spoken = n == 0
	return nil
}

// give has the other end take what was read, and keeps what it does not take.
func (e *end) give(text []byte) error {
	n, err := e.put(func() (int, error) { return kernel.Write(e.other.fd, text) })
	if n < len(text) && err == nil {
		e.held = bytes.Clone(text[n:])
	}
	return err
}

// put notes what came of writing.
func (e *end) put(write func() (int, error)) (n int, err error) {
	n, err = write()
	n = max(n, 0)
	e.passed += int64(n)
	if kernel.IsLater(err) {
		e.other.writable, err = false, nil
	}
	return n, err
}

// flush passes on what is held, if the other end may take it.
func (e *end) flush() error {
	for e.isHeld() && e.other.writable {
		if len(e.held) == 0 {
			if _, err := e.put(func() (int, error) { return e.pipe.drain(e.other.fd) }); err != nil {
				return err
			}
			continue
		}
		n, err := e.put(func() (int, error) { return kernel.Write(e.other.fd, e.held) })
		if err != nil {
			return err
		}
		if e.held = e.held[n:]; len(e.held) == 0 {
			e.held = nil
		}
	}
	return nil
}

// isHeld reports whether something waits for the other end. What is held in a buffer came
// before what is in the pipe.
func (e *end) isHeld() bool { return len(e.held) > 0 || e.pipe != nil && e.pipe.held > 0 }

// leaveBulk gives the pipe back.
func (e *end) leaveBulk() {
	if e.pipe != nil {
		e.couple.relay.pipes.giveBack(e.pipe)
		e.pipe = nil
	}
}

// tell says to the other end that all was said.
func (e *end) tell() error {
	if e.told {
		return nil
	}
	e.told = true
	e.leaveBulk()
	if err := unix.Shutdown(e.other.fd, unix.SHUT_WR); err != nil && !isUnconnected(err) { // then it has read all, and gone
		return err
	}
	return nil
}

// drop closes the socket, so that its other end takes it for broken if that is so.
func (e *end) drop(broken bool) {
	e.leaveBulk()
	if broken {
		_ = unix.SetsockoptLinger(e.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if e.joined {
		e.couple.relay.Loop.Remove(e.fd, e.token)
	}
	_ = unix.Close(e.fd)
}
