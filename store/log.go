package store

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// slogCore hands etcd's warnings and errors to our logger.
type slogCore struct {
	handler  slog.Handler
	troubles *troubles
}

func newZap(log *slog.Logger) *zap.Logger {
	return zap.New(slogCore{log.Handler().WithAttrs([]slog.Attr{slog.String("part", "etcd")}), &troubles{by: make(map[string]trouble)}})
}

// Enabled says whether a line of this level is wanted.
func (c slogCore) Enabled(level zapcore.Level) bool {
	return level >= zapcore.WarnLevel && c.handler.Enabled(context.Background(), slogLevel(level))
}

// With returns a core that adds fields to each line.
func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.handler.WithAttrs(attrs(fields)), c.troubles}
}

// Check takes every line that is wanted.
func (c slogCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write hands one line over.
func (c slogCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	ctx, level := context.Background(), slogLevel(entry.Level)
	switch {
	case expected(entry.Message, fields):
		level = slog.LevelDebug
	case level == slog.LevelWarn && passing(entry.Message) && !c.troubles.lasts(entry.Message, entry.Time):
		level = slog.LevelInfo
	}
	if !c.handler.Enabled(ctx, level) {
		return nil
	}
	record := slog.NewRecord(entry.Time, level, entry.Message, 0)
	record.AddAttrs(attrs(fields)...)
	if entry.Level > zapcore.ErrorLevel && slices.ContainsFunc(fields, isNoSpace) {
		record.AddAttrs(slog.String("why", "the disk of the data folder is full: this process ends, and can be started again when there is room"))
	}
	return c.handler.Handle(ctx, record)
}

// isNoSpace says that a field is the error of a full disk.
func isNoSpace(field zapcore.Field) bool {
	err, ok := field.Interface.(error)
	return ok && errors.Is(err, syscall.ENOSPC)
}

// expected says that a line is about a setting that we made on purpose, that
// every first start of a member writes it while it is not yet of a raft term,
// that we ask again, or that something ended because it was closed.
func expected(message string, fields []zapcore.Field) bool {
	switch message {
	case "Running http and grpc server on single port. This is not recommended for production.",
		"exceeded recommended request limit",
		"Failed to detect schema version",
		"failed to update storage version",
		"stopped publish because server is stopping",
		"rejecting promote learner: learner is not ready",
		"failed to promote a member",
		"rejecting member add request; local member has not been connected to majority peers, reconfigure breaks active quorum",
		"rejecting member remove request; local member has not been connected to all peers, reconfigure breaks active quorum":
		return true
	case "setting up serving from embedded etcd failed.":
		return slices.ContainsFunc(fields, func(field zapcore.Field) bool {
			err, ok := field.Interface.(error)
			return ok && errors.Is(err, net.ErrClosed)
		})
	default:
		return false
	}
}

// Sync does nothing: lines are not kept back.
func (slogCore) Sync() error { return nil }

func slogLevel(level zapcore.Level) slog.Level {
	if level >= zapcore.ErrorLevel {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// attrs are fields in their order. A field may stand for several values.
func attrs(fields []zapcore.Field) []slog.Attr {
	list := make([]slog.Attr, 0, len(fields))
	for _, field := range fields {
		encoder := zapcore.NewMapObjectEncoder()
		field.AddTo(encoder)
		for key, value := range encoder.Fields {
			list = append(list, slog.Any(strings.ReplaceAll(key, "-", "_"), value))
		}
	}
	return list
}
