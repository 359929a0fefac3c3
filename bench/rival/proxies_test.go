//go:build rivals

// These tests need Debian's haproxy and nginx, which make bench installs.

package rival_test

import (
	"testing"

	"github.com/aloft-run/aloft/bench/rival"
)

func TestProxiesReachTheBackend(t *testing.T) {
	t.Setenv("PATH", "/usr/sbin:/usr/bin:/bin")
	folder := t.TempDir()
	backend, err := rival.Backend(t.Context(), folder, freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	nginx, err := rival.Nginx(t.Context(), folder, backend.Addr)
	if err != nil {
		t.Fatal(err)
	}
	haproxy, err := rival.HAProxy(t.Context(), folder, backend.Addr)
	if err != nil {
		t.Fatal(err)
	}

	for _, server := range []*rival.Server{backend, nginx, haproxy} {
		if body := get(t, server.URL()); body != "ok\n" {
			t.Errorf("%s answers %q", server.Name, body)
		}
	}

	for _, server := range []*rival.Server{haproxy, nginx, backend} {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
}
