package upstream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// body is an answer's body. Its end, or Close, ends the exchange.
type body struct {
	io.ReadCloser
	exchange *exchange
	last     bool // the connection ends with this answer
}

// Read reads the body; at its end the connection is free for the next request.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.exchange.finish(errors.Is(err, io.EOF) && !b.last)
	}
	return n, err
}

// Close drops the connection unless the body was read to its end. It does not
// close what it wraps, which would read a body without an end.
func (b *body) Close() error {
	b.exchange.finish(false)
	return nil
}

// upgraded is the connection after an answer that switched the protocol.
type upgraded struct{ exchange *exchange }

func (u *upgraded) Read(p []byte) (int, error)  { return u.exchange.conn.in.Read(p) }
func (u *upgraded) Write(p []byte) (int, error) { return u.exchange.conn.Conn.Write(p) }
func (u *upgraded) CloseWrite() error           { return u.exchange.conn.CloseWrite() }

func (u *upgraded) Close() error {
	u.exchange.finish(false)
	return nil
}

// keepAliveTimeout returns what an answer says about how long the instance keeps
// an idle connection.
func keepAliveTimeout(header http.Header) (time.Duration, bool) {
	for _, line := range header["Keep-Alive"] {
		for part := range strings.SplitSeq(line, ",") {
			text, ok := strings.CutPrefix(strings.TrimSpace(part), "timeout=")
			if !ok {
				continue
			}
			if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
				return time.Duration(seconds) * time.Second, true
			}
		}
	}
	return 0, false
}
