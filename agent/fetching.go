package agent

import (
	"context"
	"net/url"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// slowAfter is how long a fetch takes until the task's status says so: most are
// over before anybody could read it.
const slowAfter = time.Second

// fetcherFunc is a Fetcher.
type fetcherFunc func(ctx context.Context, artifact spec.Artifact, sandbox string) error

// Fetch calls the function.
func (f fetcherFunc) Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error {
	return f(ctx, artifact, sandbox)
}

// noted returns a Fetcher for an attempt, with which the loop knows of each
// artifact that is being fetched.
func (a *Agent) noted(key runtime.Key) Fetcher {
	return fetcherFunc(func(ctx context.Context, artifact spec.Artifact, sandbox string) error {
		if a.do(ctx, func() { a.fetching(key, redacted(artifact.URL)) }) {
			defer a.do(ctx, func() { a.fetching(key, "") })
		}
		return a.fetcher.Fetch(ctx, artifact, sandbox)
	})
}

// fetching takes note of what is being fetched for an attempt; "" is nothing.
func (a *Agent) fetching(key runtime.Key, from string) {
	in, ok := a.tasks[key.Task]
	if !ok || in.status.Attempt != key.Attempt || in.cancelLaunch == nil {
		return // it has ended already
	}
	in.fetching = from
	if from != "" {
		in.slowAt = time.Now().Add(slowAfter)
		a.alarms.set(in.slowAt, in.task)
	}
}

// sayFetching says in the status of a task what it waits for.
func (a *Agent) sayFetching(in *instance) {
	if in.status.State != task.Starting {
		return // it is being stopped
	}
	in.status.Reason = words("fetching " + in.fetching)
	a.writing.changed[in.task] = true
}

// redacted returns a URL without its password.
func redacted(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return "what is not a URL"
	}
	return parsed.Redacted()
}
