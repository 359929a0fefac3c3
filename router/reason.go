package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/router/upstream"
)

// Reason says why the router itself answered a request. It stands in the header
// Aloft-Reason and in the access log.
type Reason string

// The reasons are a closed set.
const (
	// NoRoute means that no service has a rule for the host and path. Status 404.
	NoRoute Reason = "no-route"
	// NoInstance means that the service had no instance for as long as requests are held.
	// Status 503.
	NoInstance Reason = "no-instance"
	// Refused means that no instance accepted a connection for as long as requests are
	// held. Status 503.
	Refused Reason = "refused"
	// QueueFull means that as many requests as may be held are held already. Status 503.
	QueueFull Reason = "queue-full"
	// Stopping means that the router is about to stop. Status 503.
	Stopping Reason = "stopping"
	// Broken means that the instance may have read the request and closed the connection
	// before its answer. Status 502.
	Broken Reason = "broken"
	// Garbled means that what the instance sent is not an answer. Status 502.
	Garbled Reason = "garbled"
	// Late means that the instance did not begin its answer in time. Status 504.
	Late Reason = "late"
	// Unanswered means that the router had to end before the instance began its answer.
	// Status 504.
	Unanswered Reason = "unanswered"
	// Cut means that the answer broke off after its head had been passed on. The status is
	// the instance's; the client's connection is closed.
	Cut Reason = "cut"
	// BadRequest means that the request cannot be routed, or its body did not come whole.
	// Status 400.
	BadRequest Reason = "bad-request"
	// ClientSlow means that the client sent nothing of the request's body, or took nothing
	// of the answer, for too long. Status 408, unless the answer had begun; the client's
	// connection, in HTTP/2 the stream, is closed.
	ClientSlow Reason = "client-slow"
	// ClientGone means that the client left before the answer. The log says status 499.
	ClientGone Reason = "client-gone"
)

// ReasonHeader is the header that carries the Reason.
const ReasonHeader = "Aloft-Reason"

// statusClientGone is what logs and metrics say of a client that left.
const statusClientGone = 499

// Status returns the HTTP status that goes with the reason.
func (r Reason) Status() int {
	switch r {
	case NoRoute:
		return http.StatusNotFound
	case NoInstance, Refused, QueueFull, Stopping:
		return http.StatusServiceUnavailable
	case Late, Unanswered:
		return http.StatusGatewayTimeout
	case BadRequest:
		return http.StatusBadRequest
	case ClientSlow:
		return http.StatusRequestTimeout
	case ClientGone:
		return statusClientGone
	case Broken, Garbled, Cut:
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// refusal is the error for a request that the router answers itself.
type refusal struct {
	reason Reason
	text   string // one line for the client
}

func (r *refusal) Error() string { return r.text }

// refusalOf says in the router's words why there is no answer from the service.
func refusalOf(err error, service id.Service) *refusal {
	if own, ok := errors.AsType[*refusal](err); ok {
		return own
	}
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok { // the proxy's own doubts about a request or an answer
		return &refusal{Garbled, fmt.Sprintf("the answer of service %s cannot be passed on: %v", service, err)}
	}
	switch failure.Reach {
	case upstream.Abandoned:
		return &refusal{ClientGone, "the client is gone"}
	case upstream.Late:
		return &refusal{Late, fmt.Sprintf("service %s did not answer in time", service)}
	case upstream.Garbled:
		return &refusal{Garbled, fmt.Sprintf("service %s sent something that is not an answer", service)}
	case upstream.Unreached:
		return &refusal{Refused, fmt.Sprintf("no instance of service %s accepts connections", service)}
	case upstream.Unread, upstream.Unanswered:
	}
	if errors.Is(failure, upstream.ErrGivenUp) {
		return &refusal{Broken, fmt.Sprintf("an instance of service %s was lost before it answered; the request may have been carried out", service)}
	}
	return &refusal{Broken, fmt.Sprintf("an instance of service %s closed the connection before it answered; the request may have been carried out", service)}
}

// stopping is for a request that no instance has had.
func stopping() *refusal { return &refusal{Stopping, "the router is about to stop"} }

// unanswered is for a request that an instance has had, and that is not waited for any
// longer.
func unanswered(service id.Service) *refusal {
	return &refusal{Unanswered, fmt.Sprintf("the router had to end before an instance of service %s answered; the request may have been carried out", service)}
}

// head puts what the answer says into a header, and returns its status and its text.
func (r *refusal) head(header http.Header) (status int, text string) {
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set(ReasonHeader, string(r.reason))
	status = r.reason.Status()
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	text = r.text + "\n"
	header.Set("Content-Length", strconv.Itoa(len(text)))
	return status, text
}

// write answers the request.
func (r *refusal) write(w http.ResponseWriter) {
	status, text := r.head(w.Header())
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that is gone needs no answer
	if r.reason == Stopping || r.reason == Unanswered {
		_ = http.NewResponseController(w).Flush() // its connection is about to be closed
	}
}

// writeLast answers a request of a method with the last answer on a connection of
// HTTP/1.1.
func (r *refusal) writeLast(to io.Writer, method string) (status int) {
	answer := http.Response{ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Close: true, Request: &http.Request{Method: method}}
	var text string
	answer.StatusCode, text = r.head(answer.Header)
	answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	var all bytes.Buffer // for one write
	_ = answer.Write(&all)
	_, _ = to.Write(all.Bytes()) // a client that is gone needs no answer
	return answer.StatusCode
}
