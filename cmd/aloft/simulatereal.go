package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/simulate"
	"github.com/aloft-run/aloft/store"
)

// errSimulated ends the master of a simulation that is over.
var errSimulated = errors.New("the simulation is over")

// simulateReal runs a simulation against a master of its own, in this process and
// with state on the disk, on a port of the loopback that nobody else knows.
func simulateReal(ctx context.Context, cfg simulate.Config, speed float64) (report *simulate.Report, err error) {
	dir, err := os.MkdirTemp("", "aloft-simulate-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	state, err := store.Open(ctx, store.Config{DataDir: dir})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if err := master.Fill(ctx, state, cfg.Cluster.Records); err != nil {
		return nil, err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	m, err := master.New(master.Config{
		ID: "simulated", Version: version, Log: log,
		SilentAfter: time.Minute, SuspectAfter: time.Minute, // no agent is lost because this machine is busy
	}, state)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	going, end := context.WithCancelCause(ctx)
	defer end(nil)
	parts, running := errgroup.WithContext(going)
	parts.Go(func() error { return serveMaster(running, m, log, listener, m.Handler(http.NotFoundHandler())) })
	parts.Go(func() error {
		if err := untilReady(running, m); err != nil {
			return err
		}
		var err error
		report, err = simulate.RunReal(running, simulate.Real{Config: cfg, Master: "http://" + listener.Addr().String(), Speed: speed})
		if err == nil {
			end(errSimulated)
		}
		return err
	})
	if err := parts.Wait(); !errors.Is(err, errSimulated) && report == nil {
		return nil, err
	}
	return report, nil
}

// untilReady waits until a master leads.
func untilReady(ctx context.Context, m *master.Master) error {
	for m.Ready() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
