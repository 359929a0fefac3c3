package upstream_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aloft-run/aloft/router/upstream"
)

// TestWithoutTrustEvenAFreshConnectionIsNotUsed: as long as nothing was learned, a
// request that must not be sent twice gets a new connection also in the instant in
// which another one has become idle. The bubble holds that instant.
func TestWithoutTrustEvenAFreshConnectionIsNotUsed(t *testing.T) {
	t.Parallel()
	address := instance(t, func(conn *net.TCPConn, in *bufio.Reader, number int) { serve(conn, in, number) })
	synctest.Test(t, func(t *testing.T) {
		pool := upstream.New(upstream.Config{Address: address})
		defer pool.Close()

		var got []string
		for range 3 {
			got = append(got, exchange(t, pool, request(t.Context(), t, http.MethodPost, "x")))
		}

		if strings.Join(got, ", ") != "1 x, 2 x, 3 x" {
			t.Errorf("answers %q, want each by a connection of its own", got)
		}
	})
}
