package router

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// accessLog writes one line of JSON for each request.
type accessLog struct {
	handler slog.Handler
	spool   *spool
}

// newAccessLog returns nil, which writes nothing, if there is nowhere to write.
func newAccessLog(to io.Writer, lost prometheus.Counter) *accessLog {
	if to == nil {
		return nil
	}
	s := newSpool(to, lost)
	return &accessLog{slog.NewJSONHandler(s, nil), s}
}

// begin has lines written from now on. It returns what ends that, and reports whether all
// was written.
func (l *accessLog) begin() (end func() (whole bool)) {
	if l == nil {
		return func() bool { return true }
	}
	go l.spool.run() // nobody can end it while it writes to what is stuck
	return l.spool.end
}

// asked is what a line says of the request beside its errand.
type asked struct{ client, proto, method string }

func (l *accessLog) write(ctx context.Context, c *errand, q asked) {
	if l == nil {
		return
	}
	line := slog.NewRecord(c.began, slog.LevelInfo, "request", 0)
	line.AddAttrs(
		slog.String("client", q.client),
		slog.String("proto", q.proto),
		slog.String("method", q.method),
		slog.String("host", c.host),
		slog.String("path", c.path),
		slog.String("service", string(c.serviceName())),
		slog.Int("status", c.loggedStatus()),
		slog.Int64("bytes", c.bytes),
		slog.Float64("duration_ms", milliseconds(c.took())),
		slog.Int("retries", c.retries),
	)
	l.end(ctx, line, c.last, c.held, c.reason)
}

// writeConnection writes one line for a connection that has ended.
func (l *accessLog) writeConnection(ctx context.Context, c *connection) {
	if l == nil {
		return
	}
	line := slog.NewRecord(c.began, slog.LevelInfo, "connection", 0)
	line.AddAttrs(
		slog.String("client", c.client.RemoteAddr().String()),
		slog.Int("port", c.port),
		slog.String("service", string(c.serviceName())),
		slog.Int64("bytes_up", c.passed.Up),
		slog.Int64("bytes_down", c.passed.Down),
		slog.Float64("duration_ms", milliseconds(time.Since(c.began))),
		slog.Int("retries", max(0, c.tries-1)),
	)
	l.end(ctx, line, c.endpoint, c.held, c.reason)
}

// end adds what is said only where there is something to say, and writes the line.
func (l *accessLog) end(ctx context.Context, line slog.Record, at *endpoint, held time.Duration, reason Reason) {
	if at != nil {
		line.AddAttrs(slog.String("task", string(at.Task)), slog.Int64("revision", int64(at.Revision)))
	}
	if held > 0 {
		line.AddAttrs(slog.Float64("held_ms", milliseconds(held)))
	}
	if reason != "" {
		line.AddAttrs(slog.String("reason", string(reason)))
	}
	_ = l.handler.Handle(ctx, line) // a spool has no errors
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
