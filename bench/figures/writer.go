package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// errRefused is the error for a write that was answered with an error.
var errRefused = errors.New("the write was refused")

// writer makes small writes through some masters all the time, one after the other
// through each, and keeps when they succeeded.
type writer struct {
	stop    context.CancelFunc
	writing sync.WaitGroup

	mu     sync.Mutex // guards all below
	done   []written  // those that succeeded, in the order of their ends
	failed []error
}

// written is one write that succeeded.
type written struct{ begun, ended time.Time }

// writeEvery is how long a writer rests between two writes.
const writeEvery = 5 * time.Millisecond

// startWriter writes through the masters at these addresses until finish.
func startWriter(ctx context.Context, masters ...string) *writer {
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{stop: cancel}
	for _, master := range masters {
		w.writing.Go(func() { w.write(ctx, master) })
	}
	return w
}

func (w *writer) write(ctx context.Context, master string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		begun := time.Now()
		err := writeOnce(ctx, client, master, n)
		w.mu.Lock()
		switch {
		case err == nil:
			w.done = append(w.done, written{begun, time.Now()})
		case ctx.Err() == nil:
			w.failed = append(w.failed, fmt.Errorf("after %s: %w", time.Since(begun), err))
		}
		w.mu.Unlock()
		_ = pause(ctx, writeEvery) // the loop sees its end
	}
}

// writeOnce changes a pool from which nothing draws.
func writeOnce(ctx context.Context, client *http.Client, master string, n int) error {
	body := fmt.Sprintf(`{"pool": {"id": "probe", "priority": %d}}`, n%1000)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+master+"/aloft.v1.ClusterService/SetPool", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: status %d, %.300s", errRefused, response.StatusCode, text)
	}
	return err
}

// after waits for the first write to succeed that was begun after a moment, and
// returns how long after that moment it succeeded.
func (w *writer) after(ctx context.Context, moment time.Time) (time.Duration, error) {
	for {
		w.mu.Lock()
		for _, d := range w.done {
			if d.begun.After(moment) {
				w.mu.Unlock()
				return d.ended.Sub(moment), nil
			}
		}
		w.mu.Unlock()
		if err := pause(ctx, time.Millisecond); err != nil {
			return 0, fmt.Errorf("no write has succeeded since: %w", err)
		}
	}
}

// finish ends the writing and returns the longest time since a moment in which no
// write succeeded, and why some have failed.
func (w *writer) finish(since time.Time) (gap time.Duration, failed []error) {
	w.stop()
	w.writing.Wait()
	last := since
	for _, d := range w.done {
		if d.ended.After(since) {
			gap, last = max(gap, d.ended.Sub(last)), d.ended
		}
	}
	return gap, w.failed
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
