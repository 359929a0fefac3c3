package router

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// bookedMax is the largest part of an answer that may be sent after the request was
// booked: what net/http keeps back until its handler is done.
const bookedMax = 4 << 10

// serve answers the request that is here, and reports whether the connection waits
// for the next one.
func (l *lane) serve(ctx context.Context) (again bool) {
	r := l.router
	l.count(1)
	if !l.choose() {
		l.count(-1)
		l.leave(ctx, noInstance, nil)
		return false
	}
	l.conn.serve(true)
	l.conn.busySince.Store(l.began.UnixNano())
	l.out = newBuffer()
	l.message.Text = l.appendRequest(l.out[:0])
	l.message.HeadOnly, l.message.Began = l.request.Method == http.MethodHead, l.began
	failure := l.last.fast.Relay(ctx, &l.message, &l.answer)
	switch {
	case failure == nil && l.answer.Odd:
		l.leave(ctx, oddAnswer, &begun{errand: l.errand, answer: l.answer, kept: l.kept})
		return false
	case failure != nil && failure.Reach != upstream.Abandoned:
		l.leave(ctx, failed, &begun{errand: l.errand, failure: failure, kept: l.kept})
		return false
	}
	r.kept.giveBack(l.kept)
	if failure != nil {
		l.status, l.reason = statusClientGone, ClientGone
		l.finish(ctx)
	} else {
		l.last.peers.answered(l.last)
		l.status = l.answer.Status
		again = l.pass(ctx)
	}
	l.conn.busySince.Store(0)
	l.count(-1)
	if !again {
		l.close()
		return false
	}
	l.advance()
	return true
}

// count has the router count the request as one that is being served.
func (l *lane) count(n int64) {
	l.router.calls.Add(n)
	l.counted = n > 0
}

// choose finds an instance for the request, if one can have it at once.
func (l *lane) choose() bool {
	r, service, table := l.router, l.service, l.table // of the last request: often this one's, too
	if string(l.request.Host) != l.host {
		l.host, table = string(l.request.Host), nil
	}
	if string(l.request.Path) != l.path {
		l.path, table = string(l.request.Path), nil
	}
	l.errand = r.newErrand(l.host, l.path)
	l.message.Idempotent = upstream.IsIdempotent(l.request.Method)
	for {
		if l.service = service; l.table != table {
			l.service = l.table.find(l.host, l.path)
		}
		if l.service == nil || l.service.queue.len() > 0 {
			return false
		}
		e := l.service.pick(choice{again: l.message.Idempotent})
		if e == nil || e.fast == nil {
			return false
		}
		if e.enter() {
			l.endpoint, l.last = e, e
			break
		}
		l.table = r.table.Load() // it has left with the table, and there is a newer one
	}
	l.kept = l.request.Length
	if l.kept > 0 && !r.kept.take(l.kept) {
		l.release()
		return false
	}
	return true
}

// appendRequest appends the request as the instance gets it.
func (l *lane) appendRequest(b []byte) []byte {
	q := &l.request
	b = append(b, q.Method...)
	b = append(b, ' ')
	b = append(b, q.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, q.Host...)
	b = append(b, "\r\n"...)
	b = q.AppendFields(b)
	b = append(b, "X-Forwarded-For: "...)
	b = append(b, l.client...)
	b = append(b, "\r\nX-Forwarded-Host: "...)
	b = append(b, q.Host...)
	b = append(b, "\r\nX-Forwarded-Proto: http\r\n"...)
	if q.SaysLength() {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, q.Length, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, l.in[q.Size:q.Size+int(q.Length)]...)
}

// pass passes the answer on, and reports whether the connection is good for another
// request.
func (l *lane) pass(ctx context.Context) bool {
	last := l.request.Last || l.router.departing.Load()
	b := l.appendHead(l.out[:0], last)
	if l.answer.Waits() {
		if err := l.write(b); err != nil {
			return l.broke(ctx, err)
		}
		b = l.out[:0]
	}
	b, err := l.appendBody(b)
	for err == nil {
		if err = l.write(b); err == nil {
			err = l.move()
		}
		if err != nil {
			return l.broke(ctx, err)
		}
		b, err = l.appendBody(l.out[:0])
	}
	return l.passEnd(ctx, b, err) && !last
}

// bulkMin is how much of a body must be left for it to be moved inside the kernel.
const bulkMin = 24 << 10

// move passes on the rest of a long body without a copy, where that can be.
func (l *lane) move() error {
	from, left := l.answer.Bulk()
	if left < bulkMin {
		return nil
	}
	moved := l.router.relay.Move(l.raw, from, left, func() { l.conn.extend(time.Now()) })
	l.bytes += moved.Bytes
	l.answer.Took(moved.Bytes, moved.ReadErr)
	if errors.Is(moved.WriteErr, os.ErrDeadlineExceeded) {
		l.conn.giveUp()
	}
	return moved.WriteErr
}

// passEnd passes on the end of what comes, and reports whether it is the end of the
// answer.
func (l *lane) passEnd(ctx context.Context, b []byte, err error) bool {
	whole := errors.Is(err, io.EOF)
	if whole && len(b) <= bookedMax {
		l.ended = l.answer.Ended
		l.finish(ctx)
		return l.writeAt(b, l.ended) == nil
	}
	if err := l.write(b); err != nil {
		return l.broke(ctx, err)
	}
	if !whole {
		l.reason = Cut
		if l.conn.Left() {
			l.reason = ClientGone
		}
	}
	l.finish(ctx)
	return whole
}

// appendHead appends the head of the answer as the client gets it.
func (l *lane) appendHead(b []byte, last bool) []byte {
	a := &l.answer
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, ' ')
	if text := http.StatusText(a.Status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(a.Status), 10)
	}
	b = append(b, "\r\n"...)
	b = a.AppendFields(b)
	if !a.HasDate {
		b = append(b, "Date: "...)
		b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	if a.Length < 0 {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendBody appends what is here of the body, or waits for more. The error is
// io.EOF when nothing of it is left.
func (l *lane) appendBody(b []byte) ([]byte, error) {
	const header = len("ffff\r\n") // of a chunk of less than 64 KiB
	const trailer = len("\r\n")
	if l.answer.Length >= 0 {
		n, err := l.answer.Next(b[len(b):cap(b)])
		l.bytes += int64(n)
		return b[:len(b)+n], err
	}
	data := b[len(b)+header : cap(b)-trailer-len("0\r\n\r\n")]
	n, err := l.answer.Next(data)
	l.bytes += int64(n)
	if n > 0 {
		b = strconv.AppendInt(b, int64(n), 16)
		b = append(b, "\r\n"...)
		b = append(b, data[:n]...) // it overlaps, which append minds
		b = append(b, "\r\n"...)
	}
	if errors.Is(err, io.EOF) {
		b = append(b, "0\r\n"...)
		b = append(b, l.answer.Trailers...)
		b = append(b, "\r\n"...)
	}
	return b, err
}

func (l *lane) write(b []byte) error { return l.writeAt(b, time.Now()) }

func (l *lane) writeAt(b []byte, now time.Time) error {
	if len(b) == 0 {
		return nil
	}
	_, err := l.conn.writeAt(&l.sender, b, now)
	return err
}

// broke ends a request whose answer the client does not take.
func (l *lane) broke(ctx context.Context, err error) bool {
	l.reason = ClientGone
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.reason = ClientSlow
	}
	l.finish(ctx)
	return false
}

// finish ends the request at the instance and books it.
func (l *lane) finish(ctx context.Context) {
	l.answer.Close()
	l.release()
	l.book()
	if log := l.router.accessLog; log != nil {
		log.write(ctx, &l.errand, asked{l.conn.RemoteAddr().String(), "HTTP/1.1", l.request.Method})
	}
}

// advance makes room for the next request.
func (l *lane) advance() {
	done := l.request.Size + int(l.request.Length)
	l.filled = copy(l.in[:], l.in[done:l.filled])
	l.skipped, l.posted = false, l.request.Method == http.MethodPost
	freeBuffer(&l.out)
	if l.filled == 0 {
		freeBuffer(&l.in)
	}
	l.conn.serve(false)
	if l.filled > 0 {
		l.conn.heard.Store(true)
	}
}
