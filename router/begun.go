package router

import (
	"context"
	"net/http"

	"github.com/aloft-run/aloft/router/upstream"
)

// begun is a request that was sent on the fast path, and is for net/http to end: the
// instance failed it, or gave an unusual answer. Whoever takes it owns what it holds.
type begun struct {
	errand  errand
	failure *upstream.Error // or nil
	answer  upstream.Answer // if there is no failure
	kept    int64           // of the allowance for bodies
}

// connKey is under what a request's context has its clientConn.
type connKey struct{}

// takeBegun returns what the fast path has done for the request of the context, or
// nil. There is something only for the first request that net/http serves of a
// connection.
func takeBegun(ctx context.Context) *begun {
	if conn, ok := ctx.Value(connKey{}).(*clientConn); ok && conn.ahead.Load() != nil {
		return conn.ahead.Swap(nil)
	}
	return nil
}

// resume returns what became of the request, as Upstream.Exchange does.
func (b *begun) resume(out *http.Request) (*http.Response, error) {
	if b.failure != nil {
		return nil, b.failure
	}
	return b.answer.Resume(out)
}

// drop gives up what is held, unless it was resumed. The errand is the caller's. A
// nil begun holds nothing.
func (b *begun) drop() {
	if b == nil {
		return
	}
	b.answer.Close()
	b.errand.router.kept.giveBack(b.kept)
}

// abandon ends the request: its connection is gone.
func (b *begun) abandon() {
	b.drop()
	b.errand.release()
	b.errand.router.calls.Add(-1)
}
