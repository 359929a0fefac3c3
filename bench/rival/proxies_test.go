//go:build rivals

// These tests need Debian's haproxy and nginx, which make bench installs.

package rival_test

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/aloft-run/aloft/bench/rival"
)

// backend runs the server behind all proxies, and returns where.
func backend(t *testing.T, folder string) string {
	t.Helper()
	port := freePort(t)
	arguments, err := rival.Backend(folder, port)
	if err != nil {
		t.Fatal(err)
	}
	// Not by a context: it ends nginx's first process by SIGKILL, and its workers run on.
	server := exec.Command(arguments[0], arguments[1:]...)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := rival.Accepts(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return addr
}

// proxy starts a proxy, and stops it with the test.
func proxy(t *testing.T, start func(context.Context, string, string) (*rival.Server, error), folder, backend string) *rival.Server {
	t.Helper()
	server, err := start(context.WithoutCancel(t.Context()), folder, backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestProxiesReachTheBackend(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	addr := backend(t, folder)

	for _, start := range []func(context.Context, string, string) (*rival.Server, error){rival.Nginx, rival.HAProxy} {
		server := proxy(t, start, folder, addr)
		if body := get(t, server.URL()); body != "ok\n" {
			t.Errorf("%s answers %q", server.Name, body)
		}
	}
}

func TestProxiesSpeakHTTP2(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	addr := backend(t, folder)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()

	for _, start := range []func(context.Context, string, string) (*rival.Server, error){rival.NginxTwo, rival.HAProxyTwo} {
		server := proxy(t, start, folder, addr)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatalf("%s: %v", server.Name, err)
		}
		_ = res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s in %s", server.Name, res.Status, res.Proto)
		}
	}
}

func TestProxiesSwitchToWebSocket(t *testing.T) {
	t.Parallel()
	addr := echo(t)

	for _, start := range []func(context.Context, string, string) (*rival.Server, error){rival.NginxUpgrading, rival.HAProxyUpgrading} {
		server := proxy(t, start, t.TempDir(), addr)
		if err := sayOver(t, server.Addr); err != nil {
			t.Errorf("%s: %v", server.Name, err)
		}
	}
}
