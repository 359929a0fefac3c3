package telemetry

import (
	"io"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is what Admin shows. Zero fields get their defaults.
type AdminConfig struct {
	Registry *prometheus.Registry // default: one that measures the process
	Ready    func() error         // nil when the role can do its work; default: always. It is called by many at once
	Pprof    bool                 // also serve profiles, which tell much of the process
}

func (c AdminConfig) withDefaults() AdminConfig {
	if c.Registry == nil {
		c.Registry = NewRegistry()
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	return c
}

// Admin returns the handler of /healthz (the process answers), /readyz (it can
// do its work, or says why not with status 503), /metrics and, on request,
// /debug/pprof/.
func Admin(cfg AdminConfig) http.Handler {
	cfg = cfg.withDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fine(w) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := cfg.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fine(w)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{}))
	if cfg.Pprof {
		addProfiles(mux)
	}
	return mux
}

func fine(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n") // a client that is gone needs no answer
}

// addProfiles serves what go tool pprof asks for.
func addProfiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
