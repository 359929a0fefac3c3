package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// traffic is requests to a service, one after the other, all the time.
type traffic struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	asked   int    // valid once running is done
	lost    string // the first failure
}

// trafficCommand starts the traffic of a script, or ends it and checks that no
// request was lost.
func trafficCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: traffic HOST, or traffic stop")
	}
	if args[0] != "stop" {
		c.traffic = flow(ts.Getenv("ROUTER"), args[0])
		ts.Defer(c.traffic.end)
		return
	}
	c.traffic.end()
	if c.traffic.lost != "" || c.traffic.asked == 0 {
		ts.Fatalf("%d requests, and one was lost: %s", c.traffic.asked, c.traffic.lost)
	}
}

func flow(url, host string) *traffic {
	ctx, stop := context.WithCancel(context.Background())
	f := &traffic{stop: stop}
	f.running.Go(func() {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for ctx.Err() == nil && f.lost == "" {
			f.lost = one(context.WithoutCancel(ctx), client, url, host)
			f.asked++
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return f
}

func (f *traffic) end() {
	f.stop()
	f.running.Wait()
}

// one sends a request and says what went wrong.
func one(ctx context.Context, client *http.Client, url, host string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	request.Host = host
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Sprintf("status %d: %s %v", answer.StatusCode, text, err)
	}
	return ""
}
