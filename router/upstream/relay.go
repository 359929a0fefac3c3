package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/poller"
	"github.com/aloft-run/aloft/router/plain"
)

var (
	errClientLeft = errors.New("the client left")
	errChunk      = errors.New("the body of the answer is not well chunked")
	errCutShort   = errors.New("the answer ended before its body")
)

// Client is whoever a request is relayed for.
type Client interface {
	// Attach has the connection closed when the client leaves. It reports whether
	// the client is still there.
	Attach(c io.Closer) bool
	// Detach undoes it, and reports whether the client is still there.
	Detach() bool
	// Left reports whether the client is not.
	Left() bool
}

// Message is a request that is whole, in the words in which the instance gets it.
type Message struct {
	Text       []byte    // head and body
	Began      time.Time // since when an answer is waited for
	Idempotent bool
	HeadOnly   bool // it asks for the head of an answer
	Client     Client
	Strand     *poller.Strand // in which it is relayed, if it is one
}

// Answer is the answer to a Message: its plain head, and its body to be read. An
// answer with an odd head is for Resume. One goroutine owns it.
type Answer struct {
	plain.Answer
	Odd      bool
	Trailers []byte // the lines after a chunked body, when it has ended

	Ended    time.Time // when the connection was given back; zero before
	exchange *exchange // nil when it has ended
	waits    bool      // the pool waits for it: nothing that could take time is left of it
	left     int64     // of the body, or of the present chunk
	inChunks bool      // the body is chunked
	inChunk  bool      // some of a chunk was read, and its end was not
	broken   error     // of Took
}

// Relay is Exchange for a request that is here in its words, whose answer is read
// into a. The caller must read the body to its end, Close a, or Resume it.
func (p *Pool) Relay(ctx context.Context, m *Message, a *Answer) *Error {
	for {
		c := p.pop(true, m.Idempotent, m)
		if c == nil {
			var failure *Error
			m.Strand.Detach()
			if c, failure = p.openFor(ctx, m.Strand != nil); failure != nil {
				return failure
			}
			p.waitFor(c.relay(p, m))
		}
		failure, stale := p.relayOn(ctx, c, m, a)
		if !stale {
			return failure
		}
		p.distrust(c)
	}
}

// relay makes the connection's one exchange ready for a message.
func (c *conn) relay(p *Pool, m *Message) *exchange {
	c.use(m.Strand)
	c.relayed = exchange{pool: p, conn: c, idempotent: m.Idempotent, client: m.Client, began: m.Began}
	return &c.relayed
}

// relayOn relays on a connection on which the message waits already. If that is stale,
// nothing came of it.
func (p *Pool) relayOn(ctx context.Context, c *conn, m *Message, a *Answer) (failure *Error, stale bool) {
	x := &c.relayed
	c.begin(p.cfg.HeaderBytesMax)
	if !m.Client.Attach(c) {
		p.waited(x, false)
		c.close()
		return &Error{Reach: Abandoned, Err: errClientLeft}, false
	}
	c.question = m.Text
	err := a.begin(x, m.HeadOnly)
	if err == nil && a.Odd {
		return nil, false // still waiting
	}
	if a.waits = err == nil && a.isHere(); a.waits {
		a.headCame()
		return nil, false
	}
	givenUp := p.waited(x, err == nil)
	if errors.Is(err, errStale) && m.Client.Detach() {
		c.close()
		return nil, true
	}
	if err != nil || givenUp {
		failure := x.failure(ctx, err, givenUp)
		m.Client.Detach()
		p.failed(c, failure)
		return failure, false
	}
	a.headCame()
	return nil, false
}

// begin reads the head. It leaves an odd one where it is.
func (a *Answer) begin(x *exchange, headOnly bool) error {
	in := x.conn.in
	a.exchange, a.Odd, a.Trailers, a.inChunks = x, false, a.Trailers[:0], false
	a.inChunk, a.waits, a.Ended, a.broken = false, false, time.Time{}, nil
	for {
		if in.Buffered() > 0 {
			text, _ := in.Peek(in.Buffered()) // it is there
			switch a.Read(text, headOnly) {
			case plain.Whole:
				return nil
			case plain.Odd:
				a.Odd = true
				return nil
			case plain.Partial:
			}
			if in.Buffered() == in.Size() {
				a.Odd = true
				return nil
			}
		}
		if _, err := in.Peek(in.Buffered() + 1); err != nil {
			return err
		}
	}
}

// isHere reports whether all of the answer is here when its head is.
func (a *Answer) isHere() bool {
	return a.Length >= 0 && int64(a.Size)+a.Length <= int64(a.exchange.conn.in.Buffered())
}

// headCame makes the body ready to be read. The head stays where it is.
func (a *Answer) headCame() {
	x := a.exchange
	x.conn.headLeft = -1
	if len(a.KeepAlive) > 0 && string(a.KeepAlive) != x.conn.told {
		x.conn.told = string(a.KeepAlive)
		if timeout, told := keepAliveTimeout(http.Header{"Keep-Alive": {x.conn.told}}); told {
			x.pool.hear(timeout)
		}
	}
	a.inChunks, a.left = a.Length < 0, max(a.Length, 0)
}

// Resume gives an odd answer to the request, which is the one that was relayed, as
// Exchange would have. It must be called in place of Close.
func (a *Answer) Resume(req *http.Request) (*http.Response, error) {
	relayed := a.exchange
	a.exchange = nil
	relayed.conn.use(nil)
	ctx := req.Context()
	// The body of the answer may be closed when the connection has another exchange.
	x := &exchange{pool: relayed.pool, conn: relayed.conn, req: req, idempotent: relayed.idempotent}
	x.detach = context.AfterFunc(ctx, x.conn.close)
	if !relayed.client.Detach() {
		x.conn.close()
	}
	givenUp := x.pool.waited(relayed, false)
	x.pool.waitFor(x)
	res, err := x.receive(ctx)
	if x.pool.waited(x, err == nil) {
		givenUp = true
	}
	if err != nil || givenUp {
		failure := x.failure(ctx, err, givenUp)
		x.detach()
		x.pool.failed(x.conn, failure)
		return nil, failure
	}
	return x.answer(res), nil
}

// Close drops the connection, unless the body was read to its end.
func (a *Answer) Close() {
	x := a.exchange
	if x == nil {
		return
	}
	a.exchange = nil
	if a.Odd || a.waits {
		x.pool.waited(x, a.waits)
	}
	x.client.Detach()
	x.conn.close()
}

// end gives the connection back, or drops it.
func (a *Answer) end(clean bool) {
	x := a.exchange
	a.exchange = nil
	there := x.client.Detach()
	again := clean && there && !a.Last && x.conn.sendErr == nil && x.conn.in.Buffered() == 0
	a.Ended = time.Now()
	if surplus := x.pool.relayed(x, a.Ended, a.waits, again); surplus != nil {
		surplus.close()
	}
}

// relayed ends an exchange of which the answer has come whole: its connection is kept if
// it is good for another. It returns the connection that is to be closed, if one is.
func (p *Pool) relayed(x *exchange, now time.Time, waits, again bool) (surplus *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waits {
		p.waiting.remove(x)
		p.waiting.heard = now
	}
	if !again || x.givenUp {
		return x.conn
	}
	x.conn.idleSince, x.conn.seenAlive = now, 0
	return p.keep(x.conn)
}
