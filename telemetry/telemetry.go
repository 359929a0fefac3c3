// Package telemetry is what every role shows of itself: logs, metrics, health
// and, on request, profiles.
//
// It keeps no state of its own. A role hands in its registry and says whether
// it is ready; it does not know who scrapes it.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/term"
)

// NewLogger returns a logger that writes to w from that level on: debug, info,
// warn or error. It writes text on a terminal, and JSON elsewhere.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: found %q; want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: from}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

// NewRegistry returns a registry that already measures the process and Go's
// runtime in it.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}
