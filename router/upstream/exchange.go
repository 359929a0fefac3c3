package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"time"
)

// errClosed is the cause where the instance closed without a word.
var errClosed = errors.New("the instance closed the connection")

// exchange is one request and its answer on one connection.
type exchange struct {
	pool *Pool
	conn *conn
	req  *http.Request // nil: it is relayed

	idempotent bool
	client     Client      // of what is relayed, else nil
	detach     func() bool // stops watching the request's context
	stream     *stream     // how the body is sent while the answer may already come, or nil

	finished sync.Once

	prev, next *exchange // guarded by the pool's mutex, as are the two below
	began      time.Time
	givenUp    bool

	mu       sync.Mutex
	answered bool // the head of the answer has come
}

func newExchange(p *Pool, c *conn, req *http.Request) *exchange {
	c.use(nil)
	c.begin(p.cfg.HeaderBytesMax)
	return &exchange{pool: p, conn: c, req: req, idempotent: IsIdempotent(req.Method)}
}

// run sends the request, side by side with the answer if its body is a stream,
// and waits for the head of the answer.
func (x *exchange) run(ctx context.Context) (*http.Response, *Error) {
	x.detach = context.AfterFunc(ctx, x.conn.close)
	repeatable := isRepeatable(x.req)
	if !repeatable {
		x.stream = newStream(x.req)
	}
	x.pool.waitFor(x)
	if repeatable {
		_ = x.send(x.req) // if it breaks, an answer may have come nevertheless
	} else {
		x.pool.cfg.Senders.Go(func() { x.stream.run(x) })
	}
	res, err := x.receive(ctx)
	givenUp := x.pool.waited(x, err == nil)
	if err != nil || givenUp {
		failure := x.failure(ctx, err, givenUp)
		x.detach()
		if x.stream != nil {
			x.stream.refuse()
		}
		return nil, failure
	}
	return x.answer(res), nil
}

// send writes the request and returns its error, which conn has kept as well.
func (x *exchange) send(req *http.Request) error {
	err := req.Write(x.conn.out)
	if err == nil {
		err = x.conn.out.Flush()
	}
	if err == nil {
		x.awaitAnswer()
	}
	return err
}

// awaitAnswer starts the clock for the head of the answer.
func (x *exchange) awaitAnswer() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if limit := x.pool.cfg.AnswerTimeout; limit > 0 && !x.answered {
		x.conn.limitRead(limit)
	}
}

// receive reads the head of the answer and passes on what is told before it.
func (x *exchange) receive(ctx context.Context) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(x.conn.in, x.req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		if err := x.inform(ctx, res); err != nil {
			return nil, err
		}
	}
}

// inform passes on an answer that is not the last one. The client is told to go on
// before its body is read: the server would else tell it a second time.
func (x *exchange) inform(ctx context.Context, res *http.Response) error {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.Got1xxResponse != nil {
		if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
			return err
		}
	}
	if x.stream != nil && res.StatusCode == http.StatusContinue {
		x.stream.proceed()
	}
	return nil
}

// failure says why there is no answer and how far the request got. What came of
// an answer that was given up has not been passed on.
func (x *exchange) failure(ctx context.Context, err error, givenUp bool) *Error {
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Reach: Abandoned, Err: cause}
	}
	if x.client != nil && x.client.Left() {
		return &Error{Reach: Abandoned, Err: errClientLeft}
	}
	if givenUp {
		return &Error{Reach: Unanswered, Err: ErrGivenUp}
	}
	if x.stream != nil {
		if cause := x.stream.clientError(); cause != nil {
			return &Error{Reach: Abandoned, Err: cause}
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{Reach: Late, Err: err}
	}
	if errors.Is(x.conn.recvErr, io.EOF) {
		err = errClosed
	}
	reach := x.conn.reach(x.stream == nil)
	return &Error{Reach: reach, Err: err}
}

// answer makes the answer ready for the caller: its body ends the exchange.
func (x *exchange) answer(res *http.Response) *http.Response {
	x.stopClock()
	x.conn.headLeft = -1
	if x.stream != nil {
		x.stream.refuse()
	}
	if timeout, told := keepAliveTimeout(res.Header); told {
		x.pool.hear(timeout)
	}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		res.Body = &upgraded{x}
	case res.Body == http.NoBody:
		x.finish(!res.Close)
	default:
		res.Body = &body{ReadCloser: res.Body, exchange: x, last: res.Close}
	}
	return res
}

func (x *exchange) stopClock() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
	x.conn.freeRead()
}

// finish ends the exchange, once. The connection is kept only if both sides said
// all they had to say.
func (x *exchange) finish(clean bool) {
	x.finished.Do(func() {
		watched := x.detach()
		sent := x.stream == nil && x.conn.sendErr == nil || x.stream != nil && x.stream.complete()
		if clean && watched && sent && x.conn.in.Buffered() == 0 {
			x.pool.put(x.conn)
			return
		}
		x.conn.close()
	})
}
