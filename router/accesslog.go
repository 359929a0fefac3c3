package router

import (
	"io"
	"log/slog"
	"net/http"
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

func (l *accessLog) write(c *call) {
	if l == nil {
		return
	}
	line := slog.NewRecord(c.began, slog.LevelInfo, "request", 0)
	line.AddAttrs(
		slog.String("client", c.in.RemoteAddr),
		slog.String("proto", c.in.Proto),
		slog.String("method", c.in.Method),
		slog.String("host", c.in.Host),
		slog.String("path", c.in.URL.Path),
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
	_ = l.handler.Handle(c.in.Context(), line) // a full disk must not stop the traffic
}

// loggedStatus is what the client was told; the proxy's silence means 200.
func (c *call) loggedStatus() int {
	if c.status == 0 {
		return http.StatusOK
	}
	return c.status
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
