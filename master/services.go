package master

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// failedShown is how many ended tasks that failed a service shows.
const failedShown = 3

// GetService shows a service with its tasks.
func (s *clusterService) GetService(
	_ context.Context, req *connect.Request[pb.GetServiceRequest],
) (*connect.Response[pb.GetServiceResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	service, err := findService(r.view, req.Msg.GetService())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GetServiceResponse{Service: r.view.show(service, true)}), nil
}

// ListServices lists services by name.
func (s *clusterService) ListServices(
	_ context.Context, req *connect.Request[pb.ListServicesRequest],
) (*connect.Response[pb.ListServicesResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	name := func(service *engine.Service) string { return string(service.Name) }
	list := all(r.view, func(*engine.Service) bool { return true })
	sortByName(list, name)
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	if err != nil {
		return nil, err
	}
	answer := &pb.ListServicesResponse{NextPageToken: next}
	for _, service := range page {
		answer.Services = append(answer.Services, r.view.show(service, false))
	}
	return connect.NewResponse(answer), nil
}

// ListRevisions lists the revisions of a service, newest first.
func (s *clusterService) ListRevisions(
	_ context.Context, req *connect.Request[pb.ListRevisionsRequest],
) (*connect.Response[pb.ListRevisionsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	if _, err := findService(r.view, req.Msg.GetService()); err != nil {
		return nil, err
	}
	// The name counts down, so that the newest comes first.
	name := func(rev *engine.Revision) string { return fmt.Sprintf("%019d", 1<<62-int64(rev.Number)) }
	list := r.view.parts(id.Service(req.Msg.GetService())).revisions
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	if err != nil {
		return nil, err
	}
	answer := &pb.ListRevisionsResponse{NextPageToken: next}
	for _, rev := range page {
		answer.Revisions = append(answer.Revisions, wire.FromRevision(rev))
	}
	return connect.NewResponse(answer), nil
}

// Scale sets the wanted number of instances.
func (s *clusterService) Scale(
	ctx context.Context, req *connect.Request[pb.ScaleRequest],
) (*connect.Response[pb.ScaleResponse], error) {
	answer, err := s.master.submit(ctx, engine.Scale{
		Service: id.Service(req.Msg.GetService()), Instances: int(req.Msg.GetInstances()), Version: req.Msg.GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ScaleResponse{Service: wire.FromService(answer.Service)}), nil
}

// Restart replaces every instance, start before stop.
func (s *clusterService) Restart(
	ctx context.Context, req *connect.Request[pb.RestartRequest],
) (*connect.Response[pb.RestartResponse], error) {
	answer, err := s.master.submit(ctx, engine.Restart{
		Service: id.Service(req.Msg.GetService()), Version: req.Msg.GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.RestartResponse{Service: wire.FromService(answer.Service)}), nil
}

// Stop ends every task of a service.
func (s *clusterService) Stop(
	ctx context.Context, req *connect.Request[pb.StopRequest],
) (*connect.Response[pb.StopResponse], error) {
	answer, err := s.master.submit(ctx, engine.StopService{
		Service: id.Service(req.Msg.GetService()), Remove: req.Msg.GetRemove(), Version: req.Msg.GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.StopResponse{Service: wire.FromService(answer.Service)}), nil
}

// Rollback deploys an earlier revision again.
func (s *clusterService) Rollback(
	ctx context.Context, req *connect.Request[pb.RollbackRequest],
) (*connect.Response[pb.RollbackResponse], error) {
	answer, err := s.master.submit(ctx, engine.RollBack{
		Service: id.Service(req.Msg.GetService()), To: id.Revision(req.Msg.GetTo()), Version: req.Msg.GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.RollbackResponse{Service: &pb.DeployedService{
		Service: string(answer.Service.Name), Kind: pb.SpecKind(answer.Service.Kind),
		Revision: int64(answer.Service.Revision), Deployment: string(answer.Deployment), Changed: answer.Changed,
	}}), nil
}

func findService(v *view, name string) (*engine.Service, error) {
	service, ok := find[*engine.Service](v, engine.Key{Kind: engine.ServiceKind, ID: name})
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%w service: %s", engine.ErrUnknown, name))
	}
	return service, nil
}

// show gathers what people want to see of a service.
func (v *view) show(service *engine.Service, withTasks bool) *pb.ServiceView {
	p := v.parts(service.Name)
	running := live(p.tasks)
	m := &pb.ServiceView{
		Service: wire.FromService(service), Ready: int32(ready(running)), Wanted: int32(service.Instances),
	}
	for _, t := range running {
		if t.Status.State.HoldsClaim() {
			m.Claims++
		}
	}
	for _, rev := range p.revisions {
		if rev.Number == service.Revision {
			m.Revision = wire.FromRevision(rev)
		}
	}
	if len(p.deployments) > 0 {
		m.Deployment = wire.FromDeployment(p.deployments[0])
	}
	if service.Kind == spec.Daemon {
		m.Wanted = int32(len(running))
	}
	m.State, m.Reason = stateOf(service, m, running)
	if withTasks {
		for _, t := range append(running, newestFailed(p.tasks)...) {
			m.Tasks = append(m.Tasks, wire.FromTask(t))
		}
	}
	return m
}

// newestFailed returns the newest ended tasks that did not end well.
func newestFailed(tasks []*engine.Task) []*engine.Task {
	var failed []*engine.Task
	for i := len(tasks) - 1; i >= 0 && len(failed) < failedShown; i-- {
		if s := tasks[i].Status.State; s == task.Failed || s == task.Lost {
			failed = append(failed, tasks[i])
		}
	}
	return failed
}

// stateOf sums a service up in one word, and a line when there is something to
// say.
func stateOf(service *engine.Service, m *pb.ServiceView, running []*engine.Task) (state, reason string) {
	for _, t := range running {
		if t.Status.State == task.Pending || t.Status.State == task.Backoff || t.Status.State == task.Running {
			reason = cmp.Or(reason, t.Status.Reason)
		}
	}
	switch {
	case service.Result == engine.Succeeded:
		return "succeeded", ""
	case service.Result == engine.Unsuccessful:
		return "failed", cmp.Or(reason, "a copy failed")
	case service.Result == engine.Underway:
		return "running", reason
	case service.Kind == spec.Cron:
		return "scheduled", ""
	case service.Stopped && len(running) == 0:
		return "stopped", ""
	case service.Stopped:
		return "stopping", ""
	case service.Deployment != "":
		return "deploying", cmp.Or(m.GetDeployment().GetReason(), reason)
	case service.Revision == 0:
		return "failed", m.GetDeployment().GetReason()
	case int(m.GetReady()) >= int(m.GetWanted()):
		return "running", ""
	case m.GetReady() == 0:
		return "pending", reason
	default:
		return "degraded", cmp.Or(reason, strconv.Itoa(int(m.GetReady()))+" of "+strconv.Itoa(int(m.GetWanted()))+" ready")
	}
}
