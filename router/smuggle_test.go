package router_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/router"
)

// twin is one of two routers that get the same bytes. Behind it is an instance that
// notes what reaches it.
type twin struct {
	*running

	mu   sync.Mutex
	came []string // a request each, with its fields sorted
	bad  []string // what no router may send
}

func newTwin(tb testing.TB, fastPathOff bool) *twin {
	tb.Helper()
	w := &twin{running: start(tb, router.Config{FastPathOff: fastPathOff})}
	w.apply(tb, hello(raw(tb, "t1", w.note)))
	return w
}

// note reads requests strictly, and answers each with its number on the connection.
func (w *twin) note(conn net.Conn, in *bufio.Reader) {
	for {
		var head bytes.Buffer
		for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
			line, err := in.ReadBytes('\n')
			if head.Write(line); err != nil {
				if head.Len() > 0 && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
					w.complain("half a head: %q, %v", head.Bytes(), err)
				}
				return
			}
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head.Bytes())))
		if err != nil {
			w.complain("%v: %q", err, head.Bytes())
			return
		}
		w.inspect(head.Bytes())
		body, err := bodyOf(req, in)
		if err != nil {
			return // its client left in the middle
		}
		fields := make([]string, 0, len(req.Header))
		for name, values := range req.Header {
			if name != "Content-Length" {
				fields = append(fields, fmt.Sprintf("%s: %q", name, values))
			}
		}
		slices.Sort(fields)
		if req.Host == conn.LocalAddr().String() {
			req.Host = "the instance" // net/http says so where the client named no host
		}
		w.mu.Lock()
		w.came = append(w.came, fmt.Sprintf("%s %s %s %s body %q", req.Method, req.RequestURI, req.Host, strings.Join(fields, ", "), body))
		w.mu.Unlock()
		text := req.RequestURI
		if req.Method == http.MethodHead {
			text = "" // so that who listens need not know the method
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
			return
		}
	}
}

// bodyOf reads the body as its head says, from where the head ended.
func bodyOf(req *http.Request, in *bufio.Reader) ([]byte, error) {
	if len(req.TransferEncoding) == 0 {
		body := make([]byte, max(req.ContentLength, 0))
		_, err := io.ReadFull(in, body)
		return body, err
	}
	whole, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), oneByOne{in})))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(whole.Body)
}

// oneByOne lets nobody read ahead.
type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(len(p), 1)]) }

// inspect looks at the bytes of a head.
func (w *twin) inspect(head []byte) {
	lengths, codings := 0, 0
	for i, line := range bytes.Split(bytes.TrimSuffix(head, []byte("\r\n\r\n")), []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00") || len(line) == 0 || i > 0 && (line[0] == ' ' || line[0] == '\t') {
			w.complain("line %q in %q", line, head)
		}
		name, _, _ := bytes.Cut(bytes.ToLower(line), []byte(":"))
		switch string(name) {
		case "content-length":
			lengths++
		case "transfer-encoding":
			codings++
		}
	}
	if lengths+codings > 1 {
		w.complain("two lengths in %q", head)
	}
}

func (w *twin) complain(format string, arguments ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = append(w.bad, fmt.Sprintf(format, arguments...))
}

// exchange sends the pieces over one connection and tells what became of them. A
// connection on which nothing happens for a while is closed.
func (w *twin) exchange(tb testing.TB, patience time.Duration, pieces ...[]byte) (told []string) {
	tb.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer drop(conn)
	w.mu.Lock()
	w.came, w.bad = nil, nil
	w.mu.Unlock()
	for _, piece := range pieces {
		if _, err := conn.Write(piece); err != nil {
			break // it has been refused
		}
		runtime.Gosched() // so that they come one by one, mostly
	}
	said := listenTo(conn, patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.bad) > 0 {
		tb.Fatalf("%q made a router send what it may not: %q", bytes.Join(pieces, nil), w.bad)
	}
	return append(said, w.came...)
}

// listenTo returns the answers that come.
func listenTo(conn net.Conn, patience time.Duration) (said []string) {
	in := bufio.NewReader(&patient{conn, patience})
	for {
		if _, err := in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			return append(said, "silence")
		} else if err != nil {
			return append(said, "end")
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return append(said, "something that is no answer")
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusBadRequest && res.Header.Get(router.ReasonHeader) == "" {
			body, err = nil, nil // net/http says which byte it minded, and resets what is unread
		}
		said = append(said, fmt.Sprintf("%d %q %t %t", res.StatusCode, body, err == nil, res.Close))
	}
}

// patient reads for as long as something comes from time to time.
type patient struct {
	net.Conn
	patience time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

// same fails the test if the two routers disagree on the bytes. What a busy machine
// keeps from coming in time is asked for again.
func same(tb testing.TB, fast, slow *twin, pieces ...[]byte) {
	tb.Helper()
	var diff string
	for _, patience := range []time.Duration{30 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
		diff = cmp.Diff(slow.exchange(tb, patience, pieces...), fast.exchange(tb, patience, pieces...))
		if diff == "" {
			return
		}
	}
	tb.Errorf("of %q the fast path makes something else than net/http (-net/http +fast):\n%s", bytes.Join(pieces, []byte("|")), diff)
}

// smuggled are attempts to have two servers see different requests, and what looks
// like one.
func smuggled() []string {
	const (
		next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
		last = "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	)
	var all []string
	for _, first := range []string{
		"GET /a%20b?c=%zz HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
		"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;e=f\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\r\n : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 0\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 05\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5 \t\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\nX: y\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nX: y\n\r\n",
		"GET /a HTTP/1.1\nHost: h\n\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX y: b\r\n\r\n",
		"GET /a HTTP/1.1\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h/i\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h@i\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: [fe80::1%25eth0]:80\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://i/a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET //i/a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a\\b\"c HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a;b=c;d?e;f HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a? HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /../a/./b// HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /%2e%2E/%00 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET  /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a  HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
		"GET /a HTTP/1.0\r\n\r\n",
		"GET /a HTTP/0.9\r\n\r\n",
		"GET /a\r\n\r\n",
		"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"get /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"MKCOL /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
		"TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: X\r\nX: y\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close, X\r\nX: y\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\na",
		"GET /a HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nPragma: no-cache\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nx-lOwEr:a\r\nX-Lower:  b \t \r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nHost: h\r\nExpect: something\r\nContent-Length: 5\r\n\r\nhello",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000),
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
	} {
		all = append(all, first+last, first+next+last, next+first+last)
	}
	all = append(all, next+"000\n", next+"\r\n"+last, next+"\n")
	const post = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n0\r\n\r"
	for _, ends := range []string{"\n", "\r\n", "\n\r\n\r", "\r\n\r\n\r\n", "\r", "x\r\n"} {
		all = append(all, post+ends+last, next+post+ends+next+last, post+ends)
	}

	return all
}

// TestSmuggling: whatever comes, the fast path does with it what net/http does: the
// same requests reach the instance, and the client gets the same answers.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	fast, slow := newTwin(t, false), newTwin(t, true)
	for _, text := range smuggled() {
		same(t, fast, slow, []byte(text))
	}
}

// TestPiecesMakeNoDifference: requests may come cut in two, anywhere, or byte by byte.
func TestPiecesMakeNoDifference(t *testing.T) {
	t.Parallel()
	fast, slow := newTwin(t, false), newTwin(t, true)
	text := []byte("GET /a HTTP/1.1\r\nHost: h\r\n\r\n" +
		"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
		"GET /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	want := slow.exchange(t, patience, text)
	for cut := range text {
		if diff := cmp.Diff(want, fast.exchange(t, patience, text[:cut], text[cut:])); diff != "" {
			t.Fatalf("cut in two after %d bytes (-whole +cut):\n%s", cut, diff)
		}
	}
	var bytewise [][]byte
	for i := range text {
		bytewise = append(bytewise, text[i:i+1])
	}
	if diff := cmp.Diff(want, fast.exchange(t, patience, bytewise...)); diff != "" {
		t.Errorf("byte by byte (-whole +bytes):\n%s", diff)
	}
}

// TestNoHTTP2InTheMiddle: a connection speaks HTTP/2 from its first byte or never.
func TestNoHTTP2InTheMiddle(t *testing.T) {
	t.Parallel()
	fast := newTwin(t, false)
	const request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

	got := fast.exchange(t, patience, []byte(request+"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))

	want := []string{`200 "/a" true false`, fmt.Sprintf("400 %q %t %t", "", true, true), "end", got[len(got)-1]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzSmuggling is TestSmuggling for any bytes, cut in two anywhere.
func FuzzSmuggling(f *testing.F) {
	fast, slow := newTwin(f, false), newTwin(f, true)
	for _, text := range smuggled() {
		if len(text) < 1000 {
			f.Add([]byte(text), len(text)/3)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		if bytes.Contains(text, []byte("PRI * HTTP/2.0")) {
			return // net/http passes it on as a request; the fast path refuses it
		}
		cut = min(max(cut, 0), len(text))
		same(t, fast, slow, text[:cut], text[cut:])
	})
}
