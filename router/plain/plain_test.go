package plain_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/router/plain"
)

// requests are what the fuzzer begins with, and what is plain of it.
func requests() map[string]plain.Verdict {
	const ends = "\r\n\r\n"
	get := func(lines ...string) string {
		return "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + ends
	}
	post := func(lines ...string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + ends
	}
	return map[string]plain.Verdict{
		"GET / HTTP/1.1\r\nHost: x" + ends:                                 plain.Whole,
		"GET /a/b?c=d&e=%zz;f HTTP/1.1\r\nHost: a.b:80" + ends:             plain.Whole,
		"GET /%20%2f%C3%A9 HTTP/1.1\r\nHost: [::1]:80" + ends:              plain.Whole,
		get("Accept: */*", "Cookie: a=b", "cookie:  c=d \t"):               plain.Whole,
		get("Connection: keep-alive", "Keep-Alive: 300"):                   plain.Whole,
		get("connection: CLOSE", "Forwarded: for=1", "X-Forwarded-For: 1"): plain.Whole,
		get("Pragma: no-cache", "Cache-Control: max-age=0"):                plain.Whole,
		get("User-Agent:"):                  plain.Whole,
		post("Content-Length: 5") + "hello": plain.Whole,
		post("Content-Length: 0"):           plain.Whole,
		"GET / HTTP/1.1\r\nHost: x\r\n":     plain.Partial,
		"GET / HT":                          plain.Partial,
		"":                                  plain.Partial,
		post("Content-Length: 5", "Content-Length: 5"):          plain.Odd,
		post("Content-Length: 5", "Content-Length: 6"):          plain.Odd,
		post("Content-Length: 5, 5"):                            plain.Odd,
		post("Content-Length: +5"):                              plain.Odd,
		post("Content-Length: 05"):                              plain.Odd,
		post("Content-Length: 0x5"):                             plain.Odd,
		post("Content-Length: -1"):                              plain.Odd,
		post("Content-Length:"):                                 plain.Odd,
		post("Content-Length: 99999999999999999999"):            plain.Odd,
		post("Content-Length: 5", "Transfer-Encoding: chunked"): plain.Odd,
		post("Transfer-Encoding: chunked"):                      plain.Odd,
		post("Transfer-Encoding: xchunked"):                     plain.Odd,
		post("Transfer-Encoding : chunked"):                     plain.Odd,
		post("Transfer_Encoding: chunked"):                      plain.Whole,
		post(" Transfer-Encoding: chunked"):                     plain.Odd,
		post("X: y\r\n\tTransfer-Encoding: chunked"):            plain.Odd,
		post("X: y\nTransfer-Encoding: chunked"):                plain.Odd,
		post("X: y\rTransfer-Encoding: chunked"):                plain.Odd,
		post("X: \x00"):                                         plain.Odd,
		post("X: \x7f"):                                         plain.Odd,
		post("X: é"):                                            plain.Odd,
		post("X\x00: y"):                                        plain.Odd,
		post(": y"):                                             plain.Odd,
		post("X"):                                               plain.Odd,
		get("Expect: 100-continue"):                             plain.Odd,
		get("Upgrade: websocket", "Connection: Upgrade"):        plain.Odd,
		get("Connection: close, X"):                             plain.Odd,
		get("Connection: close", "Connection: close"):           plain.Odd,
		get("TE: trailers"):                                     plain.Odd,
		get("Trailer: X"):                                       plain.Odd,
		get("Proxy-Connection: keep-alive"):                     plain.Odd,
		get("Proxy-Authorization: x"):                           plain.Odd,
		get("Host: x"):                                          plain.Odd,
		get("Host: y"):                                          plain.Odd,
		get("Pragma: no-cache"):                                 plain.Odd,
		get("User-Agent: a", "User-Agent: b"):                   plain.Odd,
		"GET / HTTP/1.1" + ends:                                 plain.Odd,
		"GET / HTTP/1.1\r\nHost:" + ends:                        plain.Odd,
		"GET / HTTP/1.1\r\nHost: a/b" + ends:                    plain.Odd,
		"GET / HTTP/1.1\r\nHost: a b" + ends:                    plain.Odd,
		"GET / HTTP/1.1\r\nHost: a@b" + ends:                    plain.Odd,
		"GET http://y/ HTTP/1.1\r\nHost: x" + ends:              plain.Odd,
		"GET //y/ HTTP/1.1\r\nHost: x" + ends:                   plain.Odd,
		"GET /a#b HTTP/1.1\r\nHost: x" + ends:                   plain.Odd,
		"GET /%2 HTTP/1.1\r\nHost: x" + ends:                    plain.Odd,
		"GET /%zz HTTP/1.1\r\nHost: x" + ends:                   plain.Odd,
		"GET /\"a HTTP/1.1\r\nHost: x" + ends:                   plain.Odd,
		"GET /é HTTP/1.1\r\nHost: x" + ends:                     plain.Odd,
		"GET  / HTTP/1.1\r\nHost: x" + ends:                     plain.Odd,
		"GET / a HTTP/1.1\r\nHost: x" + ends:                    plain.Odd,
		"GET /\tHTTP/1.1\r\nHost: x" + ends:                     plain.Odd,
		"GET /?a#b HTTP/1.1\r\nHost: x" + ends:                  plain.Odd,
		"GET / HTTP/1.0\r\nHost: x" + ends:                      plain.Odd,
		"GET / HTTP/1.1 \r\nHost: x" + ends:                     plain.Odd,
		"GET / HTTP/2.0\r\nHost: x" + ends:                      plain.Odd,
		"get / HTTP/1.1\r\nHost: x" + ends:                      plain.Odd,
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1" + ends:              plain.Odd,
		"OPTIONS * HTTP/1.1\r\nHost: x" + ends:                  plain.Odd,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                      plain.Odd,
		"\r\nGET / HTTP/1.1\r\nHost: x" + ends:                  plain.Odd,
		"GET / HTTP/1.1\nHost: x\n\n":                           plain.Odd,
		"GET / HTTP/1.1\r\nHost: x\r\n\n":                       plain.Odd,
		"\n":                                                    plain.Odd,
		"\x16\x03\x01\x00\n":                                    plain.Odd,
	}
}

// TestRequestVerdicts says of each kind of request who reads it.
func TestRequestVerdicts(t *testing.T) {
	t.Parallel()
	for text, want := range requests() {
		var r plain.Request
		if got := r.Read([]byte(text)); got != want {
			t.Errorf("verdict %d of %q, want %d", got, text, want)
		}
		checkRequest(t, []byte(text))
	}
}

// FuzzRequest: what is taken for plain is what net/http makes of the same bytes.
func FuzzRequest(f *testing.F) {
	for text := range requests() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkRequest(t, text) })
}

// replaced are the fields that a proxy does not pass on as they came.
func replaced() []string {
	return []string{"Connection", "Keep-Alive", "Content-Length", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
}

func checkRequest(t *testing.T, text []byte) {
	t.Helper()
	var r plain.Request
	if r.Read(text) != plain.Whole {
		return
	}
	in := bufio.NewReader(bytes.NewReader(text))
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", text, err)
	}
	if size := len(text) - in.Buffered(); len(text) <= 4096 && size != r.Size {
		t.Errorf("the head of %q has %d bytes for net/http, and %d here", text, size, r.Size)
	}
	if r.Method != req.Method || string(r.Target) != req.URL.RequestURI() || string(r.Target) != req.RequestURI ||
		string(r.Path) != req.URL.Path || string(r.Host) != req.Host || r.Length != req.ContentLength || r.Last != req.Close {
		t.Errorf("%q is here %s %q %q %q, %d, %t;\nfor net/http %+v", text, r.Method, r.Target, r.Path, r.Host, r.Length, r.Last, req)
	}
	for _, name := range replaced() {
		req.Header.Del(name)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Del("User-Agent")
	}
	passed := read(t, append(append([]byte("GET / HTTP/1.1\r\nHost: x\r\n"), r.AppendFields(nil)...), "\r\n"...))
	if diff := cmp.Diff(req.Header, passed.Header); diff != "" {
		t.Errorf("%q is passed on with other fields (-net/http +here):\n%s", text, diff)
	}
	checkPrefixes(t, text[:r.Size], func(part []byte) plain.Verdict { return new(plain.Request).Read(part) })
}

func read(t *testing.T, text []byte) *http.Request {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return req
}

// checkPrefixes: a head that is whole is Partial up to its last byte.
func checkPrefixes(t *testing.T, head []byte, verdict func([]byte) plain.Verdict) {
	t.Helper()
	for n := range head {
		if got := verdict(head[:n]); got != plain.Partial {
			t.Fatalf("verdict %d of the first %d bytes of %q", got, n, head)
		}
	}
	if got := verdict(append(slices.Clone(head), "\x00anything"...)); got != plain.Whole {
		t.Fatalf("verdict %d of %q with something after it", got, head)
	}
}

// answers are what the fuzzer begins with, and what is plain of it.
func answers() map[string]plain.Verdict {
	const ends = "\r\n\r\n"
	ok := func(lines ...string) string { return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + ends }
	return map[string]plain.Verdict{
		ok("Content-Length: 2", "Date: today", "Server: é"):   plain.Whole,
		ok("Content-Length: 2", "Keep-Alive: timeout=5"):      plain.Whole,
		ok("Transfer-Encoding: Chunked", "Connection: close"): plain.Whole,
		"HTTP/1.1 204\r\nX: y" + ends:                         plain.Whole,
		"HTTP/1.1 304 Not Modified\r\nEtag: y" + ends:         plain.Whole,
		"HTTP/1.1 599 \r\nContent-Length: 0" + ends:           plain.Whole,
		"HTTP/1.1 2": plain.Partial,
		ok():         plain.Odd,
		ok("X: y"):   plain.Odd,
		ok("Content-Length: 2", "Content-Length: 2"):          plain.Odd,
		ok("Content-Length: 2", "Transfer-Encoding: chunked"): plain.Odd,
		ok("Transfer-Encoding: gzip, chunked"):                plain.Odd,
		ok("Content-Length: 2", "Trailer: X"):                 plain.Odd,
		ok("Content-Length: 2", "Connection: X"):              plain.Odd,
		ok("Content-Length: 2", "X: a\r\n b"):                 plain.Odd,
		ok("Content-Length: 2", "X : a"):                      plain.Odd,
		"HTTP/1.1 204 \r\nContent-Length: 0" + ends:           plain.Odd,
		"HTTP/1.1 304 \r\nContent-Type: a" + ends:             plain.Odd,
		"HTTP/1.1 100 Continue" + ends:                        plain.Odd,
		"HTTP/1.1 101 Switching\r\nUpgrade: a" + ends:         plain.Odd,
		"HTTP/1.0 200 OK\r\nContent-Length: 2" + ends:         plain.Odd,
		"HTTP/1.1 2000 OK\r\nContent-Length: 2" + ends:        plain.Odd,
		"HTTP/1.1  200 OK\r\nContent-Length: 2" + ends:        plain.Odd,
		"HTTP/1.1 099 OK\r\nContent-Length: 2" + ends:         plain.Odd,
		"HTTP/1.1 200 OK\nContent-Length: 2\n\n":              plain.Odd,
		"garbage\r\n":                                         plain.Odd,
	}
}

// TestAnswerVerdicts says of each kind of answer who reads it.
func TestAnswerVerdicts(t *testing.T) {
	t.Parallel()
	for text, want := range answers() {
		var a plain.Answer
		if got := a.Read([]byte(text), false); got != want {
			t.Errorf("verdict %d of %q, want %d", got, text, want)
		}
		checkAnswer(t, []byte(text), false)
		checkAnswer(t, []byte(text), true)
	}
}

// FuzzAnswer: what is taken for plain is what net/http makes of the same bytes.
func FuzzAnswer(f *testing.F) {
	for text := range answers() {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(checkAnswer)
}

func checkAnswer(t *testing.T, text []byte, headOnly bool) {
	t.Helper()
	var a plain.Answer
	if a.Read(text, headOnly) != plain.Whole {
		return
	}
	method := http.MethodGet
	if headOnly {
		method = http.MethodHead
	}
	in := bufio.NewReader(bytes.NewReader(text))
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", text, err)
	}
	defer func() { _ = res.Body.Close() }()
	length := a.Length
	if res.Body == http.NoBody && length == 0 {
		length = res.ContentLength // of a head alone it is what the body would have
	}
	if a.Status != res.StatusCode || length != res.ContentLength || a.Last != res.Close || a.HasDate != (res.Header["Date"] != nil) {
		t.Errorf("%q is here %d, %d, %t, %t;\nfor net/http %+v", text, a.Status, a.Length, a.Last, a.HasDate, res)
	}
	if said := strings.Join(res.Header["Keep-Alive"], "|"); said != string(a.KeepAlive) {
		t.Errorf("%q says of keeping alive %q, and here %q", text, said, a.KeepAlive)
	}
	res.Header.Del("Connection")
	res.Header.Del("Keep-Alive")
	passed, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(append([]byte("HTTP/1.1 200 OK\r\n"), a.AppendFields(nil)...), "\r\n"...))), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, passed.Body)
	_ = passed.Body.Close()
	if diff := cmp.Diff(res.Header, passed.Header); diff != "" {
		t.Errorf("%q is passed on with other fields (-net/http +here):\n%s", text, diff)
	}
	checkPrefixes(t, text[:a.Size], func(part []byte) plain.Verdict { return new(plain.Answer).Read(part, headOnly) })
}
