package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interruptions returns a context that the first signal to end cancels, and a
// channel that the second one closes. A terminal that goes away counts as one,
// unless the process was told to ignore that.
func interruptions(ctx context.Context) (going context.Context, hurry <-chan struct{}, stop func()) {
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2) // the second must not be lost while the first is acted on
	signal.Notify(signals, wanted...)
	going, cancel := context.WithCancel(ctx)
	again, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(again)
		for range 2 {
			select {
			case <-signals:
				cancel()
			case <-done:
				return
			}
		}
	}()
	return going, again, func() {
		signal.Stop(signals)
		close(done)
		<-again
		cancel()
	}
}
