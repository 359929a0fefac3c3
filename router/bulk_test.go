package router_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aloft-run/aloft/router"
)

// TestLongAnswers: whole, in pieces, or cut short, beside short ones on the same connection,
// which is kept, on both sides, until one is cut.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	source := make([]byte, 5<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(source)
	var log strings.Builder
	var opened atomic.Int64
	r := start(t, router.Config{AccessLog: &log})
	r.apply(t, hello(raw(t, "t1", func(conn net.Conn, in *bufio.Reader) {
		opened.Add(1)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			query := req.URL.Query()
			size, _ := strconv.Atoi(query.Get("size"))
			sent, _ := strconv.Atoi(query.Get("sent"))
			piece, _ := strconv.Atoi(query.Get("piece"))
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			for from := 0; from < sent; from += piece {
				_, _ = conn.Write(source[from:min(sent, from+piece)])
			}
			if sent < size {
				return
			}
		}
	})))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	in := bufio.NewReader(conn)
	get := func(size, sent, piece int) (got []byte, err error) {
		fmt.Fprintf(conn, "GET /?size=%d&sent=%d&piece=%d HTTP/1.1\r\nHost: x\r\n\r\n", size, sent, piece)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil, err
		}
		defer drop(res.Body)
		return io.ReadAll(res.Body)
	}
	for _, size := range []int{0, 10, 16 << 10, 24 << 10, 28<<10 - 1, 28 << 10, 28<<10 + 1, 64 << 10, 256 << 10, 300_000, 1 << 20, 5 << 20} {
		for _, piece := range []int{1 << 20, 100_000, 1000} {
			got, err := get(size, size, piece)
			if err != nil || !bytes.Equal(got, source[:size]) {
				t.Fatalf("%d bytes in pieces of %d: %d came, %v", size, piece, len(got), err)
			}
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections to the instance, want 1", n)
	}

	got, err := get(1<<20, 700_000, 50_000)

	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, source[:700_000]) {
		t.Errorf("of an answer that was cut %d bytes came, %v", len(got), err)
	}
	_ = r.stop()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"reason":"cut"`) || !strings.Contains(last, `"bytes":700000`) {
		t.Errorf("the log says %s", last)
	}
}
