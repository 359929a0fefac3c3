package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// emptyLook is how often an agent that says goodbye looks whether it is empty.
const emptyLook = 200 * time.Millisecond

// goodbye empties an agent before it ends.
type goodbye struct {
	agent   *agent.Agent
	name    id.Agent
	masters *client.Client
	within  time.Duration
	log     *slog.Logger
}

// say has the tasks of the agent moved away, start before stop, and returns nil
// when none is left. An error says why some may be left: they run on.
func (g goodbye) say(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.within, errors.New("the time for it has run out"))
	defer cancel()
	g.log.InfoContext(ctx, "drains before it ends; a second signal ends it at once", slog.Duration("within", g.within))
	g.agent.Leave()
	api := g.masters.Cluster()
	told := false
	for {
		var err error
		if !told {
			_, err = api.DrainAgent(ctx, connect.NewRequest(&pb.DrainAgentRequest{Agent: string(g.name), Leaving: true}))
			told = err == nil
		}
		if told {
			var left *connect.Response[pb.ListTasksResponse]
			left, err = api.ListTasks(ctx, connect.NewRequest(&pb.ListTasksRequest{Agent: string(g.name)}))
			if err == nil && len(left.Msg.GetTasks()) == 0 {
				return nil
			}
		}
		switch {
		case connect.CodeOf(err) == connect.CodeNotFound:
			return nil // it never was in the cluster
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		select {
		case <-time.After(emptyLook):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
