package probe_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/core/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func port(t *testing.T, address string) int {
	t.Helper()
	parsed, err := netip.ParseAddrPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return int(parsed.Port())
}

// closedPort returns a port on which nothing listens.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return port(t, listener.Addr().String())
}

// check asks once and wants the text in the answer; "" wants a good answer.
func check(t *testing.T, target probe.Target, want string) {
	t.Helper()
	checker, err := probe.NewChecker(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = checker.Check(ctx)
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("Check = %v, want %q", err, want)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		default:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	at := func(path string) probe.Target {
		return probe.Target{Kind: spec.HTTPProbe, Port: port(t, server.URL), Path: path}
	}

	check(t, at("/good"), "")
	check(t, at("/moved"), "")
	check(t, at("good"), "")
	check(t, at("/bad"), "GET /bad: 503")
	check(t, at("/none"), "404")
	check(t, probe.Target{Kind: spec.HTTPProbe, Port: closedPort(t), Path: "/"}, "connection refused")

	for end := time.Now().Add(10 * time.Second); open.Load() != 0; {
		if time.Now().After(end) {
			t.Fatalf("%d connections are still open after the answers", open.Load())
		}
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	check(t, probe.Target{Kind: spec.TCPProbe, Port: port(t, listener.Addr().String())}, "")
	check(t, probe.Target{Kind: spec.TCPProbe, Port: closedPort(t)}, "connection refused")
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := health.NewServer()
	answers.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, answers)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	at := func(service string) probe.Target {
		return probe.Target{Kind: spec.GRPCProbe, Port: port(t, listener.Addr().String()), Service: service}
	}

	check(t, at(""), "")
	check(t, at("down"), "NOT_SERVING")
	check(t, at("none"), "unknown service")
	check(t, probe.Target{Kind: spec.GRPCProbe, Port: closedPort(t)}, "connection refused")
}

func TestCommand(t *testing.T) {
	t.Parallel()
	var ran []string
	target := probe.Target{Kind: spec.CommandProbe, Command: []string{"./check", "--fast"}}
	target.Exec = func(_ context.Context, command []string) error { ran = command; return nil }
	check(t, target, "")
	if strings.Join(ran, " ") != "./check --fast" {
		t.Errorf("ran %q", ran)
	}
	target.Exec = func(context.Context, []string) error { return errors.New("exit code 3") }
	check(t, target, "command probe: ./check: exit code 3")
}

func TestNewCheckerRefusesAnIncompleteTarget(t *testing.T) {
	t.Parallel()
	tests := map[string]probe.Target{
		"no kind":                 {Port: 80},
		"no port":                 {Kind: spec.TCPProbe},
		"a port too high":         {Kind: spec.HTTPProbe, Port: 65536},
		"no command":              {Kind: spec.CommandProbe, Exec: func(context.Context, []string) error { return nil }},
		"no way to run a command": {Kind: spec.CommandProbe, Command: []string{"true"}},
	}
	for name, target := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := probe.NewChecker(target); err == nil {
				t.Error("NewChecker accepted it")
			}
		})
	}
}
