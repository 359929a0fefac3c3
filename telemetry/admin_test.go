package telemetry_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/telemetry"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	notReady := func() error { return errors.New("the state is not loaded") }
	tests := map[string]struct {
		cfg    telemetry.AdminConfig
		method string // default: GET
		path   string
		status int
		says   string
	}{
		"health":                       {path: "/healthz", status: 200, says: "ok\n"},
		"health while not ready":       {cfg: telemetry.AdminConfig{Ready: notReady}, path: "/healthz", status: 200, says: "ok\n"},
		"ready by default":             {path: "/readyz", status: 200, says: "ok\n"},
		"ready":                        {cfg: telemetry.AdminConfig{Ready: func() error { return nil }}, path: "/readyz", status: 200, says: "ok\n"},
		"not ready":                    {cfg: telemetry.AdminConfig{Ready: notReady}, path: "/readyz", status: 503, says: "the state is not loaded\n"},
		"metrics by default":           {path: "/metrics", status: 200, says: "\ngo_goroutines "},
		"metrics of the process":       {path: "/metrics", status: 200, says: "\nprocess_resident_memory_bytes "},
		"no profiles by default":       {path: "/debug/pprof/", status: 404},
		"no profile by default":        {path: "/debug/pprof/heap", status: 404},
		"profiles on request":          {cfg: telemetry.AdminConfig{Pprof: true}, path: "/debug/pprof/", status: 200, says: "goroutine"},
		"a profile on request":         {cfg: telemetry.AdminConfig{Pprof: true}, path: "/debug/pprof/goroutine?debug=1", status: 200, says: "goroutine profile"},
		"a command line on request":    {cfg: telemetry.AdminConfig{Pprof: true}, path: "/debug/pprof/cmdline", status: 200, says: "telemetry.test"},
		"symbols on request":           {cfg: telemetry.AdminConfig{Pprof: true}, path: "/debug/pprof/symbol", status: 200, says: "num_symbols"},
		"nothing elsewhere":            {path: "/", status: 404},
		"health takes no writes":       {method: http.MethodPost, path: "/healthz", status: 405},
		"metrics cannot be put":        {method: http.MethodPut, path: "/metrics", status: 405},
		"health for a balancer's HEAD": {method: http.MethodHead, path: "/healthz", status: 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, nil)
			answer := httptest.NewRecorder()

			telemetry.Admin(tc.cfg).ServeHTTP(answer, request)

			if answer.Code != tc.status || !strings.Contains(answer.Body.String(), tc.says) {
				t.Errorf("%s %s = %d %q, want %d %q", tc.method, tc.path, answer.Code, answer.Body, tc.status, tc.says)
			}
		})
	}
}

func TestAdminShowsTheRegistry(t *testing.T) {
	t.Parallel()
	registry := telemetry.NewRegistry()
	commits := prometheus.NewCounter(prometheus.CounterOpts{Name: "aloft_master_commits_total", Help: "Groups committed."})
	registry.MustRegister(commits)
	server := httptest.NewServer(telemetry.Admin(telemetry.AdminConfig{Registry: registry}))
	defer server.Close()
	commits.Add(3)

	answer, err := server.Client().Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)

	if err != nil || !strings.Contains(string(text), "\naloft_master_commits_total 3\n") {
		t.Errorf("metrics: %v\n%s", err, text)
	}
}

func TestRegistriesAreApart(t *testing.T) {
	t.Parallel()
	metric := func() prometheus.Collector {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "aloft_agent_tasks", Help: "Tasks."})
	}
	one, two := telemetry.NewRegistry(), telemetry.NewRegistry()

	if err := errors.Join(one.Register(metric()), two.Register(metric())); err != nil {
		t.Errorf("two roles of one process: %v", err)
	}
}
