//go:build rivals

// These tests need Debian's haproxy and nginx, which make bench installs.

package rival_test

import (
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/aloft-run/aloft/bench/rival"
)

func TestProxiesReachTheBackend(t *testing.T) {
	t.Parallel()
	folder, port := t.TempDir(), freePort(t)
	arguments, err := rival.Backend(folder, port)
	if err != nil {
		t.Fatal(err)
	}
	backend := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
	if err := backend.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backend.Wait() }()
	defer func() { _ = backend.Process.Signal(syscall.SIGTERM) }()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := rival.Accepts(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	nginx, err := rival.Nginx(t.Context(), folder, addr)
	if err != nil {
		t.Fatal(err)
	}
	haproxy, err := rival.HAProxy(t.Context(), folder, addr)
	if err != nil {
		t.Fatal(err)
	}

	for _, server := range []*rival.Server{nginx, haproxy} {
		if body := get(t, server.URL()); body != "ok\n" {
			t.Errorf("%s answers %q", server.Name, body)
		}
	}

	for _, server := range []*rival.Server{haproxy, nginx} {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
}
