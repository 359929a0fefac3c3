package upstream

import (
	"bytes"
	"errors"
	"io"
	"syscall"

	"github.com/aloft-run/aloft/router/plain"
)

// trailersMax bounds the lines after a chunked body.
const trailersMax = 4 << 10

// Next reads a part of the body into p, behind the head if that was not yet done
// with: AppendFields must have been called. It returns what is there as soon as
// something is, and io.EOF, perhaps together with the last part, when the body has
// ended: the connection is then free for the next request.
func (a *Answer) Next(p []byte) (n int, err error) {
	if a.exchange == nil {
		return 0, io.EOF
	}
	a.passHead()
	if a.broken != nil {
		err = a.broken
	} else if a.inChunks {
		n, err = a.nextOfChunks(p)
	} else {
		n, err = a.nextCounted(p)
	}
	if err != nil {
		a.end(errors.Is(err, io.EOF))
	}
	return n, err
}

func (a *Answer) nextCounted(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.take(p)
	if err == nil && a.left == 0 {
		err = io.EOF
	}
	return n, err
}

// take reads some of what is left of the body or the chunk.
func (a *Answer) take(p []byte) (int, error) {
	c := a.exchange.conn
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	if c.in.Buffered() == 0 {
		c.freeRead()
	}
	n, err := c.in.Read(p)
	a.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = errCutShort
	}
	return n, err
}

// Bulk returns the socket from which the rest of a counted body comes, and how much of it
// there is, none of which was read. Who takes some of it must say so by Took.
func (a *Answer) Bulk() (from syscall.RawConn, left int64) {
	if a.exchange == nil || a.inChunks || a.exchange.conn.in.Buffered() > 0 {
		return nil, 0
	}
	c := a.exchange.conn
	c.freeRead()
	return c.sock.raw, a.left
}

// Took says how much of the body was taken from the socket, and with what error; the next
// one to read hears of it.
func (a *Answer) Took(n int64, err error) {
	a.left -= n
	if a.broken = err; errors.Is(err, io.ErrUnexpectedEOF) {
		a.broken = errCutShort
	}
}

// nextOfChunks reads on over the borders of chunks as long as it need not wait.
func (a *Answer) nextOfChunks(p []byte) (n int, err error) {
	for n < len(p) {
		if a.left == 0 {
			if n > 0 && !a.hasLine() {
				return n, nil
			}
			if err := a.closeChunk(); err != nil || n > 0 && !a.hasLine() {
				return n, err
			}
			if err := a.nextChunk(); err != nil {
				return n, err
			}
		}
		if n > 0 && a.exchange.conn.in.Buffered() == 0 {
			return n, nil
		}
		taken, err := a.take(p[n:])
		n += taken
		a.inChunk = true
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// nextChunk reads the size of the next chunk. The last one ends the body.
func (a *Answer) nextChunk() error {
	text, err := a.line()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(text, []byte(";"))
	if a.left, err = chunkSize(bytes.TrimRight(size, " \t")); err != nil || a.left > 0 {
		return err
	}
	for {
		text, err := a.line()
		if err != nil {
			return err
		}
		if len(text) == 0 {
			return io.EOF
		}
		if len(a.Trailers)+len(text) > trailersMax {
			return errChunk
		}
		if a.Trailers, err = plain.AppendTrailer(a.Trailers, text); err != nil {
			return err
		}
	}
}

func chunkSize(text []byte) (size int64, err error) {
	if len(text) == 0 || len(text) > 15 {
		return 0, errChunk
	}
	for _, b := range text {
		digit, ok := plain.Digit(b)
		if !ok {
			return 0, errChunk
		}
		size = size<<4 | int64(digit)
	}
	return size, nil
}

// closeChunk reads what ends a chunk, if one was read.
func (a *Answer) closeChunk() error {
	if !a.inChunk {
		return nil
	}
	a.inChunk = false
	text, err := a.line()
	if err == nil && len(text) > 0 {
		err = errChunk
	}
	return err
}

// hasLine reports whether a line can be read without a wait.
func (a *Answer) hasLine() bool {
	in := a.exchange.conn.in
	text, _ := in.Peek(in.Buffered()) // it is there
	return bytes.IndexByte(text, '\n') >= 0
}

// line reads a line that ends in CR and LF.
func (a *Answer) line() ([]byte, error) {
	c := a.exchange.conn
	if !a.hasLine() {
		c.freeRead()
	}
	text, err := c.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		return nil, errCutShort
	}
	if err != nil {
		return nil, err
	}
	text, ok := bytes.CutSuffix(text, []byte("\r\n"))
	if !ok {
		return nil, errChunk
	}
	return text, nil
}

// Waits reports whether Next must wait for the instance.
func (a *Answer) Waits() bool {
	a.passHead()
	if a.inChunks {
		return !a.hasLine()
	}
	return a.left > 0 && a.exchange.conn.in.Buffered() == 0
}

// passHead is done with the head.
func (a *Answer) passHead() {
	if a.Size > 0 {
		_, _ = a.exchange.conn.in.Discard(a.Size) // it is there
		a.Size = 0
	}
}
