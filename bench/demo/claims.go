package main

import (
	"context"
	"errors"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
)

// claimsEvery is how often the claims of the service are counted.
const claimsEvery = 300 * time.Millisecond

// claims watches how many claims the service holds.
type claims struct {
	cancel context.CancelFunc
	done   chan struct{}

	most int   // owned by the watcher until done
	err  error // owned by the watcher until done
}

// watchClaims begins to watch. The watch ends with stop.
func watchClaims(ctx context.Context, c *cluster.Cluster) *claims {
	ctx, cancel := context.WithCancel(ctx)
	w := &claims{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		due := time.NewTicker(claimsEvery)
		defer due.Stop()
		for {
			select {
			case <-due.C:
				w.look(ctx, c)
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// look counts once. A service that is not there yet holds none.
func (w *claims) look(ctx context.Context, c *cluster.Cluster) {
	status, err := c.Status(ctx, builds.Service)
	if ctx.Err() != nil || w.err != nil || errors.Is(err, cluster.ErrNotFound) {
		return
	}
	w.most, w.err = max(w.most, status.Claims), err
}

// stop ends the watch and returns the most claims that were seen.
func (w *claims) stop() (most int, err error) {
	w.cancel()
	<-w.done
	return w.most, w.err
}
