package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Giver waits in the data folder for a successor.
type Giver struct {
	listener *net.UnixListener
	log      *slog.Logger
}

// Listen takes the place of a giver that has let go, or died. Only the holder of
// the folder's lock may call it.
func Listen(dir string, log *slog.Logger) (*Giver, error) {
	g := &Giver{log: log}
	err := pathIn(dir, func(path string) error {
		next := path + ".next"
		if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: next, Net: "unix"})
		if err != nil {
			return err
		}
		listener.SetUnlinkOnClose(false) // it may be the successor's by then
		g.listener = listener
		return errors.Join(os.Chmod(next, 0o600), os.Rename(next, path))
	})
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("handover socket in %s: %w", dir, err)
	}
	return g, nil
}

// Close ends the waiting.
func (g *Giver) Close() {
	if g.listener != nil {
		_ = g.listener.Close() // closing again does no harm
	}
}

// Run makes the offer to one successor after the other, until one has taken over:
// then the error is nil, and the caller has to let go.
func (g *Giver) Run(ctx context.Context, offer func() Offer) error {
	defer g.Close()
	stop := context.AfterFunc(ctx, g.Close)
	defer stop()
	for {
		conn, err := g.listener.AcceptUnix()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil { // there may be no descriptor left for now
			g.log.WarnContext(ctx, "no successor can be spoken to", slog.Any("error", err))
			rest(ctx)
			continue
		}
		if err = g.give(ctx, conn, offer()); err == nil {
			return nil
		}
		g.log.WarnContext(ctx, "handover broken off; serving on", slog.Any("error", err))
	}
}

// rest passes a moment.
func rest(ctx context.Context) {
	timer := time.NewTimer(Settle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// give speaks with one successor. The error is nil when it has taken over.
func (g *Giver) give(ctx context.Context, conn *net.UnixConn, offer Offer) error {
	defer func() { _ = conn.Close() }() // all that counts has been answered
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := hear(conn, ask); err != nil {
		return err
	}
	if err := sendFiles(conn, offer.Sockets); err != nil {
		return err
	}
	offer.Format = Format
	if err := json.NewEncoder(conn).Encode(offer); err != nil {
		return err
	}
	if err := hear(conn, ready); err != nil {
		return fmt.Errorf("the successor did not get ready: %w", err)
	}
	g.log.InfoContext(ctx, "a successor is ready")
	if err := settle(conn); err != nil {
		return err
	}
	return send(conn, yours)
}

// settle sees to it that the successor lives on.
func settle(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(Settle)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the successor did not live on: %v", err)
	}
	return nil
}

// sendFiles sends the descriptors. They stay open here.
func sendFiles(conn *net.UnixConn, sockets []Socket) error {
	return withFiles(sockets, nil, func(open []int) error {
		_, _, err := conn.WriteMsgUnix([]byte{files}, unix.UnixRights(open...), nil)
		return err
	})
}

// withFiles calls use with the numbers of all sockets, none of which is closed or
// changed meanwhile.
func withFiles(sockets []Socket, open []int, use func([]int) error) error {
	if len(sockets) == 0 {
		return use(open)
	}
	raw, err := sockets[0].File.SyscallConn()
	if err != nil {
		return err
	}
	var usedErr error
	err = raw.Control(func(fd uintptr) { usedErr = withFiles(sockets[1:], append(open, int(fd)), use) })
	return errors.Join(err, usedErr)
}
