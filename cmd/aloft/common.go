package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/telemetry"
)

// commonFlags are those of every role.
type commonFlags struct {
	level string
	pprof bool
}

func (c *commonFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&c.pprof, "pprof", false, "serve profiles under /debug/pprof/ beside the metrics")
}

// adminPage is where a role without an API shows its health and metrics.
type adminPage struct {
	address  string       // "": nowhere
	listener net.Listener // used instead of address when set
	registry *prometheus.Registry
	ready    func() error
}

// serveAdmin serves the page as one of the parts of a role.
func (c *commonFlags) serveAdmin(ctx context.Context, parts *errgroup.Group, page adminPage) {
	if page.address == "" && page.listener == nil {
		return
	}
	parts.Go(func() error {
		listener := page.listener
		if listener == nil {
			var listening net.ListenConfig
			var err error
			if listener, err = listening.Listen(ctx, "tcp", page.address); err != nil {
				return fmt.Errorf("--admin: %w", err)
			}
		}
		server := &http.Server{
			Handler: telemetry.Admin(telemetry.AdminConfig{
				Registry: page.registry, Ready: page.ready, Pprof: c.pprof,
			}),
			ReadHeaderTimeout: 5 * time.Second,
		}
		closing := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer closing()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// logger returns a logger that writes to w as the flags say, with the name of
// the role: several roles may write to one place.
func (c *commonFlags) logger(w io.Writer, role string) (*slog.Logger, error) {
	if err := checkLevel(c.level); err != nil {
		return nil, err
	}
	log, err := telemetry.NewLogger(w, c.level)
	if err != nil {
		return nil, err
	}
	return log.With(slog.String("role", role)), nil
}

// checkLevel refuses a level that there is not.
func checkLevel(level string) error {
	if _, err := telemetry.NewLogger(io.Discard, level); err != nil {
		return cli.UsageError("--log-level: %v", err)
	}
	return nil
}
