package master

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// listTasks lists tasks by name.
func (s *clusterService) listTasks(
	_ context.Context, req *connect.Request[pb.ListTasksRequest],
) (*connect.Response[encoded[pb.ListTasksResponse]], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	page, next, err := r.view.tasks(req.Msg)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 { // what has gone may have tasks
		err = cmp.Or(
			r.view.unknown("service", engine.ServiceKind, req.Msg.GetService()), r.view.unknown("agent", engine.AgentKind, req.Msg.GetAgent()),
		)
	}
	if err != nil {
		return nil, err
	}
	answer, err := encodeTasks(page, next)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

// tasks returns the page that is asked for, and the token of the next one.
func (v *view) tasks(req *pb.ListTasksRequest) ([]*engine.Task, string, error) {
	name := func(t *engine.Task) string { return string(t.ID) }
	keep := func(t *engine.Task) bool {
		return (req.GetEnded() || !t.Status.State.Ended()) && (req.GetAgent() == "" || string(t.Claim.Agent) == req.GetAgent())
	}
	if req.GetService() != "" {
		list := slices.DeleteFunc(v.tasksOf(id.Service(req.GetService())), func(t *engine.Task) bool { return !keep(t) })
		return pageOf(list, req, name)
	}
	size, err := pageSize(req.GetPageSize(), tasksPageMax)
	if err != nil {
		return nil, "", err
	}
	last, err := readToken(req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	page, next := firstPage(after(v, engine.TaskKind, last, size, keep), size, name)
	return page, next, nil
}

// Explain says why a task or service is as it is.
func (s *clusterService) Explain(
	ctx context.Context, req *connect.Request[pb.ExplainRequest],
) (*connect.Response[pb.ExplainResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	answer, err := ask(ctx, r, func(e *engine.Engine) (*pb.ExplainResponse, error) {
		lines, err := e.Explain(req.Msg.GetName())
		return &pb.ExplainResponse{Lines: lines, Turn: turnOf(e, req.Msg.GetName())}, err
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(answer), nil
}

// turnOf returns where a task stands in the queue, or the first one of a service that
// waits; nil if there is none.
func turnOf(e *engine.Engine, name string) *pb.Turn {
	turn, waits := e.FirstTurn(name)
	if !waits {
		return nil
	}
	return wire.FromTurn(turn)
}
