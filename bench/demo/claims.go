package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
)

// claims watches how many claims the service holds, at every change.
type claims struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	now  int
	most int // since the last call of take
	err  error
}

// watchClaims begins to watch. The watch ends with stop.
func watchClaims(ctx context.Context, c *cluster.Cluster) *claims {
	ctx, cancel := context.WithCancel(ctx)
	w := &claims{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		err := w.follow(ctx, c)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}()
	return w
}

// follow watches the service from the moment on in which there is one.
func (w *claims) follow(ctx context.Context, c *cluster.Cluster) error {
	for {
		err := c.Watch(ctx, builds.Service, w.see)
		if !errors.Is(err, cluster.ErrNotFound) {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func (w *claims) see(status cluster.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = status.Claims
	w.most = max(w.most, status.Claims)
}

// take returns the most claims since it was last called.
func (w *claims) take() (most int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	most = w.most
	w.most = w.now
	return most, w.err
}

// stop ends the watch.
func (w *claims) stop() {
	w.cancel()
	<-w.done
}
