package load

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Result is what became of one request.
type Result struct {
	Phase   string
	Method  string
	Begun   time.Time
	Latency time.Duration
	Code    int    // 0 without an answer
	Problem string // why it failed; "" if it did not
	Detail  string // what the router said about it
	Version string // of the instance that answered
}

// Ended returns when the last byte of the answer, or the error, was there.
func (r Result) Ended() time.Time { return r.Begun.Add(r.Latency) }

// String tells a failure in one line.
func (r Result) String() string {
	text := fmt.Sprintf("%s  %s  %s  after %s  code %d  %s",
		r.Begun.Format("15:04:05.000"), r.Phase, r.Method, r.Latency.Round(time.Microsecond), r.Code, r.Problem)
	if r.Detail != "" {
		text += "  (" + r.Detail + ")"
	}
	return text
}

// judge decides whether a request failed.
func judge(r *vegeta.Result, phase string) Result {
	result := Result{
		Phase:   phase,
		Method:  r.Method,
		Begun:   r.Timestamp,
		Latency: r.Latency,
		Code:    int(r.Code),
		Version: r.Headers.Get("X-Version"),
	}
	switch {
	case r.Error != "":
		result.Problem = r.Error
		result.Detail = detailOf(r)
	case r.Code != http.StatusOK:
		result.Problem = fmt.Sprintf("status %d, want 200", r.Code)
		result.Detail = detailOf(r)
	case r.Headers.Get(twiceHeader) != "":
		result.Problem = "its connection was lost; the client sent it again"
	case result.Version == "":
		result.Problem = "the answer does not come from an instance"
	case r.Method == http.MethodPost && !isWhole(r.Body):
		result.Problem = fmt.Sprintf("the echo of %d bytes is not what was sent", len(r.Body))
	}
	return result
}

// detailOf returns the first line of an answer that is an error.
func detailOf(r *vegeta.Result) string {
	const longest = 200
	line, _, _ := strings.Cut(strings.TrimSpace(string(r.Body)), "\n")
	if len(line) > longest {
		line = line[:longest]
	}
	if reason := r.Headers.Get("Aloft-Reason"); reason != "" {
		line = reason + ": " + line
	}
	if wait := r.Headers.Get("Retry-After"); wait != "" {
		line += "; Retry-After: " + wait
	}
	return line
}

// phaseOf returns the number of the phase that a request's URL names.
func phaseOf(address string) int {
	parsed, err := url.Parse(address)
	if err != nil {
		panic(fmt.Sprintf("the load made the URL %q, which is none", address))
	}
	number, err := strconv.Atoi(parsed.Query().Get("phase"))
	if err != nil {
		panic(fmt.Sprintf("the load made the URL %q, which names no phase", address))
	}
	return number
}

// newBody returns what a POST carries: a text of about 300 bytes and, at its
// end, its checksum.
func newBody(number int) []byte {
	text := strings.Repeat(fmt.Sprintf("request %08d ", number), 17)
	return fmt.Appendf(nil, "%s%08x", text, crc32.ChecksumIEEE([]byte(text)))
}

// isWhole reports whether a body ends with its checksum.
func isWhole(body []byte) bool {
	const digits = 8
	if len(body) <= digits {
		return false
	}
	text, sum := body[:len(body)-digits], string(body[len(body)-digits:])
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) == sum
}
