package load

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// laneHeader tells the transport which kind of connection a request takes.
	laneHeader = "X-Lane"
	// twiceHeader marks the answer to a request that the client's own transport
	// sent again because its connection broke: a user of another client loses it.
	twiceHeader = "X-Sent-Twice"

	kept, fresh = "kept", "fresh"
)

// laneOf spreads requests over methods and connections: of ten, four are GETs
// and four POSTs on connections that are kept alive, and one of each is on a
// connection of its own.
func laneOf(number int) (method, lane string) {
	method, lane = http.MethodGet, kept
	if number%2 == 1 {
		method = http.MethodPost
	}
	if number%10 >= 8 {
		lane = fresh
	}
	return method, lane
}

// lanes is a transport with kept connections and one with new ones.
type lanes struct {
	kept, fresh *http.Transport
}

// newLanes returns a transport whose idle connections end before the router
// would end them.
func newLanes() *lanes {
	const idle = 1000
	return &lanes{
		kept:  &http.Transport{MaxIdleConns: idle, MaxIdleConnsPerHost: idle, IdleConnTimeout: 10 * time.Second, DisableCompression: true},
		fresh: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	}
}

func (l *lanes) close() {
	l.kept.CloseIdleConnections()
	l.fresh.CloseIdleConnections()
}

// RoundTrip sends a request on its lane and notes when it had to be sent again.
func (l *lanes) RoundTrip(request *http.Request) (*http.Response, error) {
	var connections atomic.Int32
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections.Add(1) }}
	transport := l.kept
	if request.Header.Get(laneHeader) == fresh {
		transport = l.fresh
	}
	response, err := transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err == nil && connections.Load() > 1 {
		response.Header.Set(twiceHeader, "yes")
	}
	return response, err
}
