package rival_test

import (
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
