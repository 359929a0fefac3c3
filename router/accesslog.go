package router

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// accessLog writes one line of JSON for each request.
type accessLog struct{ handler slog.Handler }

// newAccessLog returns nil, which writes nothing, if there is nowhere to write.
func newAccessLog(to io.Writer) *accessLog {
	if to == nil {
		return nil
	}
	return &accessLog{slog.NewJSONHandler(to, nil)}
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
		slog.Float64("duration_ms", milliseconds(time.Since(c.began))),
		slog.Int("retries", c.retries),
	)
	if c.last != nil {
		line.AddAttrs(slog.String("task", string(c.last.Task)), slog.Int64("revision", int64(c.last.Revision)))
	}
	if c.held > 0 {
		line.AddAttrs(slog.Float64("held_ms", milliseconds(c.held)))
	}
	if c.reason != "" {
		line.AddAttrs(slog.String("reason", string(c.reason)))
	}
	_ = l.handler.Handle(ctx, line) // a full disk must not stop the traffic
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
