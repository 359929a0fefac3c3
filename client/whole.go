package client

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
)

// wholeMessages is a client for streams that sends each message in one piece.
// connect writes a message in two: its length, and what it says. Each would be a
// frame, a write to the socket, and a wakeup at the other side; heartbeats would
// cost twice as much.
type wholeMessages struct{ *http.Client }

// Do sends a request whose body is a stream of messages.
func (w wholeMessages) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body = &whole{body: req.Body}
	}
	return w.Client.Do(req)
}

// prefixBytes is how long a message's length is, with one byte of flags before it.
const prefixBytes = 5

// whole reads a stream of messages, and what is of one message at once.
type whole struct {
	body io.ReadCloser
	left int64 // of the message that was begun
}

// Read reads the length of a message together with what it says.
func (w *whole) Read(p []byte) (int, error) {
	if len(p) < prefixBytes {
		return w.body.Read(p) // the transport never asks for so little
	}
	begun := 0
	if w.left == 0 {
		n, err := io.ReadFull(w.body, p[:prefixBytes])
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF
			}
			return n, err
		}
		begun, w.left = n, int64(binary.BigEndian.Uint32(p[1:prefixBytes]))
		if w.left == 0 {
			return n, nil
		}
	}
	n, err := w.body.Read(p[begun:min(int64(len(p)), int64(begun)+w.left)])
	w.left -= int64(n)
	return begun + n, err
}

// Close closes the body.
func (w *whole) Close() error { return w.body.Close() }
