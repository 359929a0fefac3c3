package router_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

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

// valueOf returns what a counter has counted.
func valueOf(t interface{ Fatal(args ...any) }, counter prometheus.Counter) int {
	registry := prometheus.NewRegistry()
	registry.MustRegister(counter)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}

// TestAStuckSpoolEnds: its end waits for three seconds, and what was not written then is lost.
func TestAStuckSpoolEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, lost := newClogged(), prometheus.NewCounter(prometheus.CounterOpts{Name: "lost_total", Help: "-"})
		s := router.NewSpool(log, lost)
		_, _ = io.WriteString(s, "one\n")
		synctest.Wait()
		_, _ = io.WriteString(s, "two\nthree\n")
		began := time.Now()

		whole := s.End()

		if waited := time.Since(began); whole || waited != 3*time.Second {
			t.Errorf("after %v it says that all is written: %t", waited, whole)
		}
		log.open()
		synctest.Wait()
		if lines := log.lines(); !slices.Equal(lines, []string{"one"}) || valueOf(t, lost) != 2 {
			t.Errorf("%q were written, and %d lost", lines, valueOf(t, lost))
		}
	})
}

// capricious is a writer that takes only so much of what it is given, and fails, or takes all.
type capricious struct {
	takes   []int // of one write after the other, again and again; below 0: all
	writes  int
	written []byte
	longest int // of a write of several lines
	bare    int // lines that are there but for their end, and so as good as written
}

func (c *capricious) Write(p []byte) (int, error) {
	if bytes.Count(p, []byte("\n")) > 1 {
		c.longest = max(c.longest, len(p))
	}
	most := c.takes[c.writes%len(c.takes)]
	c.writes++
	if most < 0 {
		c.written = append(c.written, p...)
		return len(p), nil
	}
	n := min(most, len(p))
	c.written = append(c.written, p[:n]...)
	if n > 0 && n < len(p) && p[n] == '\n' {
		c.bare++
	}
	return n, errors.New("no room")
}

// TestSpoolLosesWholeLines: what was written is, line by line and in order, what came, but
// for the lines that were counted as lost, and no more than a pipe takes at once.
func TestSpoolLosesWholeLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		to := &capricious{takes: rapid.SliceOfN(rapid.OneOf(rapid.Just(-1), rapid.IntRange(0, 6000)), 1, 10).Draw(t, "takes")}
		lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "lost_total", Help: "-"})
		s := router.NewSpool(to, lost)
		var came []string
		for i, size := range rapid.SliceOfN(rapid.IntRange(0, 6000), 0, 40).Draw(t, "lines") {
			came = append(came, fmt.Sprint(i, ":", strings.Repeat("x", size), "."))
			_, _ = io.WriteString(s, came[i]+"\n")
		}

		if !s.End() {
			t.Fatal("not all is written")
		}

		left, whole := came, 0
		for line := range strings.Lines(string(to.written)) {
			if at := slices.Index(left, strings.TrimSuffix(line, "\n")); at >= 0 {
				left, whole = left[at+1:], whole+1
			} else if strings.HasSuffix(line, ".\n") {
				t.Fatalf("%.20q is no line that came, or not in its order", line)
			}
		}
		if counted := valueOf(t, lost); whole+counted != len(came)+to.bare {
			t.Errorf("of %d lines %d were written, and %d lost", len(came), whole, counted)
		}
		if to.longest > 4<<10 {
			t.Errorf("%d bytes of several lines at once", to.longest)
		}
	})
}
