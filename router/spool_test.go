package router_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/router"
)

// clogged is a writer that takes nothing until it is opened.
type clogged struct {
	lockedBuffer

	opened chan struct{}
	open   func()
}

func newClogged() *clogged {
	c := &clogged{opened: make(chan struct{})}
	c.open = sync.OnceFunc(func() { close(c.opened) })
	return c
}

func (c *clogged) Write(p []byte) (int, error) {
	<-c.opened
	return c.lockedBuffer.Write(p)
}

// TestAccessLogHoldsUpNobody: with one that is stuck requests go on, and what there is no
// room for is counted. What waits is written, whole lines and in order, when it goes on.
func TestAccessLogHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]bool{"the fast path": false, "net/http": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, registry := newClogged(), prometheus.NewRegistry()
			t.Cleanup(log.open)
			r := start(t, router.Config{AccessLog: log, Registerer: registry, FastPathOff: off})
			r.apply(t, hello(backend(t, "t1", named("t1"))))
			client, long := newClient(t), strings.Repeat("x", 4000)
			lost := func() (lines int) {
				_, after, _ := strings.Cut(figures(t, registry), "aloft_router_access_log_lost_total{} ")
				_, _ = fmt.Sscan(after, &lines) // there is none where nothing is lost
				return lines
			}

			asked := 0
			for ; lost() == 0; asked++ {
				if asked == 1000 {
					t.Fatal("nothing is lost of 4 MB")
				}
				if got := r.get(t, client, fmt.Sprintf("/%d/%s", asked, long)); got.status != 200 {
					t.Fatalf("request %d got %d", asked, got.status)
				}
			}
			log.open()
			eventually(t, "what waited is written", func() bool { return len(log.lines())+lost() == asked })

			for i, line := range log.lines() {
				var said struct{ Path string }
				if err := json.Unmarshal([]byte(line), &said); err != nil || !strings.HasPrefix(said.Path, fmt.Sprintf("/%d/", i)) {
					t.Fatalf("line %d is of %.20s: %v", i, said.Path, err)
				}
			}
		})
	}
}

// TestAStuckAccessLogEnds: a router ends though nobody takes its last lines.
func TestAStuckAccessLogEnds(t *testing.T) {
	t.Parallel()
	log := newClogged()
	t.Cleanup(log.open)
	r := start(t, router.Config{AccessLog: log})
	r.apply(t, hello(backend(t, "t1", named("t1"))))
	r.get(t, newClient(t), "/")

	if err := r.stop(); err == nil {
		t.Error("it ended without a cause")
	}
}
