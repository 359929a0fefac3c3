package router

import (
	"net/http"
	"time"
)

// errand is what becomes of one request, whichever way it takes. One goroutine
// owns it.
type errand struct {
	seeker

	endpoint *endpoint // the one that counts the request now
	last     *endpoint // the one that counted it last

	began   time.Time
	ended   time.Time // zero: when it is booked
	retries int
	status  int
	bytes   int64
	reason  Reason // empty: the instance answered
}

// newErrand returns the errand of a request that begins now.
func (r *Router) newErrand(host, path string) errand {
	return errand{seeker: seeker{router: r, host: host, path: path, table: r.table.Load()}, began: time.Now()}
}

// release gives back the endpoint when nothing of the request is left there.
func (e *errand) release() {
	if e.endpoint != nil {
		e.endpoint.exit()
		e.endpoint = nil
	}
}

// loggedStatus is what the client was told; the proxy's silence means 200.
func (e *errand) loggedStatus() int {
	if e.status == 0 {
		return http.StatusOK
	}
	return e.status
}

// took is how long the request took.
func (e *errand) took() time.Duration {
	if e.ended.IsZero() {
		return time.Since(e.began)
	}
	return e.ended.Sub(e.began)
}

// book counts the request, which has ended.
func (e *errand) book() {
	to := e.router.metrics.unrouted
	switch {
	case e.last != nil:
		to = e.last.series
	case e.service != nil:
		to = e.service.series
	}
	class := e.loggedStatus() / 100
	if class >= len(to.codes) || e.reason == Cut {
		class = 0 // half an answer is no success, whatever its head says
	}
	to.codes[class].Inc()
	if class != 1 {
		to.duration.Observe(e.took().Seconds())
	}
}
