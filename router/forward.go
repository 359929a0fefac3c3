package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/aloft-run/aloft/router/upstream"
)

// triesMax is how often a request is sent that may have been read before.
const triesMax = 3

// RoundTrip finds an instance for the request and gets its answer. It tries
// again where that is safe: when nothing of the request was read, or when the
// request may be carried out twice and no byte of an answer came.
func (c *call) RoundTrip(out *http.Request) (*http.Response, error) {
	if c.body != nil {
		out.Header.Del("Expect") // the body is here and follows at once
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	} else if out.Body != nil {
		c.intake.ReadCloser = out.Body // which the proxy lets nobody read after its time
		out.Body = c.intake
	}
	for {
		e, err := c.nextEndpoint(out)
		if err != nil {
			return nil, err
		}
		res, err := c.attempt(e, out)
		if err == nil {
			c.answerBegins(out, res)
			return res, nil
		}
		c.release()
		if isClosed(c.router.stopping) {
			return nil, c.lastWord(err)
		}
		if !c.mayRetry(out, err) {
			return nil, err
		}
		c.retries++
		c.tried = append(c.tried, e)
	}
}

// nextEndpoint returns the endpoint that has the request already, else acquires one.
func (c *call) nextEndpoint(out *http.Request) (*endpoint, error) {
	if c.begun != nil {
		return c.endpoint, nil
	}
	return c.acquire(out.Context(), mayRepeat(out))
}

// attempt sends the request to one endpoint, unless it was sent already.
func (c *call) attempt(e *endpoint, out *http.Request) (*http.Response, error) {
	c.endpoint, c.last = e, e
	out.URL.Scheme, out.URL.Host = "http", e.Address
	exchange := e.pool.Exchange
	if c.begun != nil {
		exchange, c.begun = c.begun.resume, nil
	} else if out.GetBody != nil {
		body, err := out.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	res, err := exchange(out)
	if err != nil {
		c.note(out.Context(), e, err)
		return nil, err
	}
	e.peers.answered(e)
	c.status, c.answer = res.StatusCode, res.Body
	if _, typed := res.Header["Content-Type"]; !typed {
		c.Header()["Content-Type"] = nil // or the server would guess one
	}
	return res, nil
}

// answerBegins gives up what was only for sending the request again.
func (c *call) answerBegins(out *http.Request, res *http.Response) {
	if c.body != nil {
		out.Body, out.GetBody = nil, nil
		c.dropBody()
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		c.closeAfterwards()
	}
}

// note learns from a failed exchange.
func (c *call) note(ctx context.Context, e *endpoint, err error) {
	failed, ok := errors.AsType[*upstream.Error](err)
	if !ok || failed.Reach == upstream.Abandoned {
		return
	}
	if failed.Reach != upstream.Unreached {
		c.sent++
	}
	if why, telling := failureOf(failed); telling {
		c.router.fails(ctx, e, why, failed.Began)
	}
}

// mayRetry decides whether the request is sent again, and counts it if so.
func (c *call) mayRetry(out *http.Request, err error) bool {
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		return false
	}
	again := false
	switch failure.Reach {
	case upstream.Unreached:
		again = true // not even a stream has lost a byte
	case upstream.Unread:
		again = isWhole(out) && c.sent < triesMax
	case upstream.Unanswered:
		again = mayRepeat(out) && c.sent < triesMax
	case upstream.Late, upstream.Garbled, upstream.Abandoned:
	}
	if again {
		c.router.metrics.retries.WithLabelValues(failure.Reach.String()).Inc()
	}
	return again
}

// lastWord is the error for a failure when the router ends: nothing is sent again.
func (c *call) lastWord(err error) error {
	failure, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok || !errors.Is(failure, upstream.ErrGivenUp):
		return err
	case failure.Reach == upstream.Unreached:
		return stopping()
	}
	return unanswered(c.serviceName())
}

// isWhole reports whether all of the request is here.
func isWhole(out *http.Request) bool { return out.Body == nil || out.GetBody != nil }

// mayRepeat reports whether the request may be sent again after an instance may
// have read it.
func mayRepeat(out *http.Request) bool { return isWhole(out) && upstream.IsIdempotent(out.Method) }
