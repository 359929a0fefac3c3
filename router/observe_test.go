package router_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// figures returns the counters and gauges that are not zero, and how many
// observations each histogram has, one a line.
func figures(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			if value == 0 {
				continue
			}
			var labels []string
			for _, pair := range metric.GetLabel() {
				labels = append(labels, pair.GetName()+"="+pair.GetValue())
			}
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, family.GetName()+"{"+strings.Join(labels, ",")+"} "+string(text))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	r := start(t, router.Config{Registerer: registry})
	two := backend(t, "t2", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	zero := nobody(t, "t0")
	two.Revision, zero.Revision = 2, 2
	none := route.Service{Name: "none", Rules: []route.Rule{{Path: "/none"}}, Hold: -1}
	client := newClient(t)

	r.apply(t, hello(backend(t, "t1", named("t1"))), none)
	for range 3 {
		r.get(t, client, "/")
	}
	r.get(t, client, "/none")
	r.apply(t, hello(zero, two), none)
	for range 20 {
		r.get(t, client, "/")
	}
	got := figures(t, registry)
	for _, want := range []string{
		"aloft_router_request_duration_seconds{revision=0,service=none} 1",
		"aloft_router_request_duration_seconds{revision=2,service=hello} 20",
		"aloft_router_requests_total{code=4xx,revision=2,service=hello} 20",
		"aloft_router_requests_total{code=5xx,revision=0,service=none} 1",
		"aloft_router_retries_total{reason=unreached} ",
		"aloft_router_ejections_total{reason=refused} 1",
		"aloft_router_endpoints_ejected{service=hello} 1",
		"aloft_router_table_epoch{} 1",
		"aloft_router_table_seq{} 2",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "revision=1") {
		t.Errorf("revision 1 has left and is still there:\n%s", got)
	}

	r.apply(t)
	r.get(t, client, "/")
	want := strings.Join([]string{
		"aloft_router_ejections_total{reason=refused} 1",
		"aloft_router_request_duration_seconds{revision=0,service=} 1",
		"aloft_router_requests_total{code=4xx,revision=0,service=} 1",
		"aloft_router_table_epoch{} 1",
		"aloft_router_table_seq{} 3",
	}, "\n")
	got = figures(t, registry)
	if i := strings.Index(got, "aloft_router_retries"); i >= 0 { // their number is a matter of chance
		got = got[:i] + got[strings.Index(got, "aloft_router_table"):]
	}
	got = regexp.MustCompile(`(?m)^aloft_router_fast_path_exits.*\n`).ReplaceAllString(got, "") // so is what they meet first
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with an empty table (-want +got):\n%s", diff)
	}
}

func TestGaugesOfWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	finish := make(chan struct{})
	r := start(t, router.Config{Registerer: registry})
	empty := route.Service{Name: "empty", Rules: []route.Rule{{Path: "/empty"}}}
	r.apply(t, empty, hello(backend(t, "t1", func(http.ResponseWriter, *http.Request) { <-finish })))
	var asking sync.WaitGroup
	for _, path := range []string{"/", "/", "/empty"} {
		asking.Go(func() { _, _ = do(newClient(t), http.MethodGet, "http://"+r.addr+path, "") })
	}
	r.awaitHeld(t, 1)
	eventually(t, "two requests at t1", func() bool { return r.Status().Services[1].Endpoints[0].InFlight == 2 })

	got := figures(t, registry)

	for _, want := range []string{"aloft_router_requests_in_flight{revision=1,service=hello} 2", "aloft_router_requests_held{service=empty} 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	close(finish)
	r.apply(t)
	asking.Wait()
}

// TestMetricsCanBeRegisteredAgain: a router that has ended leaves nothing in the
// registry.
func TestMetricsCanBeRegisteredAgain(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	first := start(t, router.Config{Registerer: registry})
	if _, err := router.New(router.Config{ID: "r2", Registerer: registry}, newMasters()); err == nil {
		t.Error("two routers share one registry")
	}

	_ = first.stop()

	start(t, router.Config{Registerer: registry})
}

// lockedBuffer takes the log of a router.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSpace(b.buffer.String()), "\n")
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	r := start(t, router.Config{AccessLog: &log})
	r.apply(t, hello(backend(t, "t1", named("twelve bytes"))))
	client := newClient(t)

	r.get(t, client, "/path?query=secret")
	r.apply(t)
	r.get(t, client, "/gone")
	eventually(t, "two lines", func() bool { return len(log.lines()) == 2 && log.lines()[1] != "" })

	want := []map[string]any{
		{
			"level": "INFO", "msg": "request", "proto": "HTTP/1.1", "method": "GET", "host": r.addr, "path": "/path", "service": "hello",
			"status": 200.0, "bytes": 12.0, "retries": 0.0, "task": "t1", "revision": 1.0,
		},
		{
			"level": "INFO", "msg": "request", "proto": "HTTP/1.1", "method": "GET", "host": r.addr, "path": "/gone", "service": "",
			"status": 404.0, "bytes": float64(len("no service is routed at \"\"\n") + len(r.addr+"/gone")), "retries": 0.0, "reason": "no-route",
		},
	}
	for i, line := range log.lines() {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, key := range []string{"time", "client", "duration_ms"} {
			if got[key] == nil {
				t.Errorf("line %d has no %s", i, key)
			}
			delete(got, key)
		}
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Errorf("line %d (-want +got):\n%s", i, diff)
		}
	}
}
