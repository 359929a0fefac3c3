package rival_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/rival"
)

const patience = 30 * time.Second

func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestReverseProxyReachesTheBackend(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
		}),
		ReadHeaderTimeout: patience,
	}
	defer func() { _ = backend.Close() }()
	go func() { _ = backend.Serve(listener) }()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1) // the one result
	go func() { served <- rival.ServeReverseProxy(ctx, addr, listener.Addr().String()) }()
	if err := rival.Accepts(t.Context(), addr); err != nil {
		t.Fatal(err)
	}

	body := get(t, "http://"+addr+"/")

	if body != "127.0.0.1" {
		t.Errorf("the backend was told of %q, want 127.0.0.1", body)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("ServeReverseProxy = %v, want nil after its context", err)
	}
}

// sayOver sends a message to the echo behind an address, and waits for it to come back.
func sayOver(t *testing.T, addr string) error {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	_ = res.Body.Close()                                                                            // there is none
	if accept := res.Header.Get("Sec-WebSocket-Accept"); accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // of RFC 6455, 1.3
		t.Errorf("%s, accepted with %q", res.Status, accept)
	}
	if _, err := conn.Write(rival.Message()); err != nil {
		return err
	}
	return rival.ReadEcho(in)
}

// echo serves echoes until the test has ended, and returns where.
func echo(t *testing.T) (addr string) {
	t.Helper()
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1) // the one result
	go func() { served <- rival.ServeEcho(ctx, addr) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("ServeEcho = %v, want nil after its context", err)
		}
	})
	if err := rival.Accepts(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestEcho(t *testing.T) {
	t.Parallel()
	addr := echo(t)

	if err := sayOver(t, addr); err != nil {
		t.Error(err)
	}
}
