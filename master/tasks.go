package master

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// ListTasks lists tasks by name.
func (s *clusterService) ListTasks(
	_ context.Context, req *connect.Request[pb.ListTasksRequest],
) (*connect.Response[pb.ListTasksResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	name := func(t *engine.Task) string { return string(t.ID) }
	list := all(r.view, func(t *engine.Task) bool {
		return (req.Msg.GetEnded() || !t.Status.State.Ended()) &&
			(req.Msg.GetService() == "" || string(t.Service) == req.Msg.GetService()) &&
			(req.Msg.GetAgent() == "" || string(t.Claim.Agent) == req.Msg.GetAgent())
	})
	sortByName(list, name)
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	if err != nil {
		return nil, err
	}
	answer := &pb.ListTasksResponse{NextPageToken: next}
	for _, t := range page {
		answer.Tasks = append(answer.Tasks, wire.FromTask(t))
	}
	return connect.NewResponse(answer), nil
}

// Explain says why a task or service is as it is.
func (s *clusterService) Explain(
	ctx context.Context, req *connect.Request[pb.ExplainRequest],
) (*connect.Response[pb.ExplainResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	var lines []string
	var refused error
	err = r.ask(ctx, func(e *engine.Engine) { lines, refused = e.Explain(req.Msg.GetName()) })
	if err := errors.Join(err, refused); err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ExplainResponse{Lines: lines}), nil
}

// named returns the tasks that a name means: one task, or those of a service
// that have not ended, or else the newest that has.
func (v *view) named(name string) []*engine.Task {
	if t, ok := find[*engine.Task](v, engine.Key{Kind: engine.TaskKind, ID: name}); ok {
		return []*engine.Task{t}
	}
	tasks := v.parts(id.Service(name)).tasks
	if running := live(tasks); len(running) > 0 || len(tasks) == 0 {
		return running
	}
	newest := tasks[0]
	for _, t := range tasks {
		if t.CreatedAt.After(newest.CreatedAt) {
			newest = t
		}
	}
	return []*engine.Task{newest}
}
