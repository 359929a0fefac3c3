package router_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/router"
)

// said are the answers of an instance, in pieces that it sends one by one. After one
// with an empty piece at its end it closes the connection.
func said() map[string][]string {
	const ok = "HTTP/1.1 200 OK\r\n"
	long := strings.Repeat("0123456789abcdef", 5000)
	return map[string][]string{
		"counted":                   {ok + "Content-Length: 5\r\nX: y\r\nx: z\r\n\r\nhello"},
		"counted, in pieces":        {"HTTP/1.1 2", "00 Very well\r\nContent-Len", "gth: 5\r\n", "\r\n", "he", "llo"},
		"empty":                     {ok + "Content-Length: 0\r\n\r\n"},
		"long":                      {ok + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(long), long)},
		"the last one":              {ok + "Content-Length: 5\r\nConnection: close\r\n\r\nhello", ""},
		"kept alive":                {ok + "Content-Length: 5\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=100\r\n\r\nhello"},
		"cut":                       {ok + "Content-Length: 50\r\n\r\nhello", ""},
		"too long":                  {ok + "Content-Length: 5\r\n\r\nhello, and more"},
		"with a date and a type":    {ok + "Content-Length: 5\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Type: a/b\r\n\r\nhello"},
		"not found":                 {"HTTP/1.1 404 Gone fishing\r\nContent-Length: 5\r\n\r\nhello"},
		"of an unknown kind":        {"HTTP/1.1 599\r\nContent-Length: 5\r\n\r\nhello"},
		"not modified":              {"HTTP/1.1 304 Not Modified\r\nEtag: \"a\"\r\n\r\n"},
		"not modified, with length": {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\n"},
		"without content":           {"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"},
		"chunked":                   {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"},
		"chunked, in pieces":        {ok + "Transfer-Encoding: chunked\r\n", "\r\n", "5\r", "\nhel", "lo\r\n", "00001\r\n!\r\n", "0\r\n", "\r\n"},
		"chunked, long":             {ok + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n", len(long), long, len(long), long)},
		"chunked, and cut":          {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ""},
		"chunked, badly":            {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n"},
		"chunked, too much":         {ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n"},
		"with a trailer":            {ok + "Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n"},
		"with a sudden trailer":     {ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n"},
		"up to the end":             {ok + "\r\nhello", ""},
		"of HTTP/1.0":               {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", ""},
		"of two lengths":            {ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ""},
		"counted and chunked":       {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", ""},
		"told before":               {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		"told before, in pieces":    {"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		"of a long head":            {ok + "Content-Length: 5\r\nX: " + strings.Repeat("x", 6000) + "\r\n\r\nhello"},
		"of an unusual head":        {ok + "Content-Length: 5\r\nConnection: X\r\nX: y\r\nProxy-Authenticate: z\r\nUpgrade: u\r\n\r\nhello"},
		"folded":                    {ok + "Content-Length: 5\r\nX: a\r\n b\r\n\r\nhello"},
		"with bare feeds":           {"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"},
		"nothing":                   {""},
		"garbage":                   {"garbage\r\n\r\n", ""},
		"half a head":               {"HTTP/1.1 200 OK\r\nContent-Le", ""},
	}
}

// heard is what a client makes of an answer.
type heard struct {
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header
	Close   bool
	Broken  bool
	After   string // of the next request on the connection
}

// TestAnswersOnTheFastPath: to its clients the fast path says of each answer what
// net/http says, and serves them on.
func TestAnswersOnTheFastPath(t *testing.T) {
	t.Parallel()
	answers := said()
	instance := func(conn net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			pieces, there := answers[req.Header.Get("Say")]
			if !there {
				pieces = []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"}
			}
			for _, piece := range pieces {
				if piece == "" {
					return
				}
				if _, err := io.WriteString(conn, piece); err != nil {
					return
				}
			}
		}
	}
	routers := map[bool]*running{}
	for _, off := range []bool{true, false} {
		routers[off] = start(t, router.Config{FastPathOff: off})
		routers[off].apply(t, hello(raw(t, "t1", instance)))
	}
	for name := range answers {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if method == http.MethodHead && strings.Contains(strings.Join(answers[name], ""), "hello") {
				continue // that is no answer to HEAD
			}
			want, got := hear(t, routers[true], method, name), hear(t, routers[false], method, name)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s (-net/http +fast):\n%s", method, name, diff)
			}
		}
	}
}

// hear asks for an answer, and then for another on the same connection.
func hear(t *testing.T, r *running, method, name string) (got heard) {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	in := bufio.NewReader(conn)
	fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: x\r\nSay: %s\r\n\r\n", method, name)
	for got.Status < http.StatusOK {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return heard{Broken: true}
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.Header.Get("Date") == "" && res.StatusCode >= http.StatusOK {
			t.Errorf("%s: no date", name)
		}
		if name != "with a date and a type" {
			res.Header.Del("Date")
		}
		got.Status, got.Header, got.Body, got.Trailer = res.StatusCode, res.Header, string(body), res.Trailer
		if got.Close = res.Close; err != nil {
			return heard{Broken: true} // how much of it came depends on the time
		}
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, err := http.ReadResponse(in, nil); err == nil {
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		got.After = string(body)
	}
	return got
}

// TestWhatLeavesTheFastPath: plain requests stay on it, others and their
// connection leave it, for a reason that is counted.
func TestWhatLeavesTheFastPath(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	r := start(t, router.Config{Registerer: registry})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/trailer" {
			w.Header().Set("Trailer", "T")
		}
		body, _ := io.ReadAll(req.Body)
		_, _ = w.Write(body)
	})))
	client := newClient(t)
	for range 100 {
		if got, err := do(client, http.MethodPost, "http://"+r.addr+"/a%20b?c", "body"); err != nil || got.body != "body" {
			t.Fatalf("answer %d %q, %v", got.status, got.body, err)
		}
	}
	if text := figures(t, registry); strings.Contains(text, "aloft_router_fast_path_exits_total") {
		t.Fatalf("plain requests left the fast path:\n%s", text)
	}

	if got := r.get(t, client, "/trailer"); got.status != http.StatusOK {
		t.Errorf("answer %d", got.status)
	}
	client.CloseIdleConnections()
	if got, err := do(client, http.MethodPost, "http://"+r.addr, strings.Repeat("x", 100_000)); err != nil || len(got.body) != 100_000 {
		t.Errorf("answer %d %d, %v", got.status, len(got.body), err)
	}
	r.apply(t, hello(nobody(t, "t2"), backend(t, "t3", named("t3"))))
	for range 20 {
		client.CloseIdleConnections()
		if got := r.get(t, client, "/"); got.body != "t3" {
			t.Errorf("answer %d %q", got.status, got.body)
		}
	}

	text := figures(t, registry)
	for _, reason := range []string{"answer", "request", "failure"} {
		if !strings.Contains(text, "aloft_router_fast_path_exits_total{reason="+reason+"} ") {
			t.Errorf("no exit for the reason %s:\n%s", reason, text)
		}
	}
}
