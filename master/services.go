package master

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// GetService shows a service with its tasks.
func (s *clusterService) GetService(
	ctx context.Context, req *connect.Request[pb.GetServiceRequest],
) (*connect.Response[pb.GetServiceResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	service, err := findService(r.view, req.Msg.GetService())
	if err != nil {
		return nil, err
	}
	type wait struct {
		forWhat string
		turn    *pb.Turn
	}
	now, err := ask(ctx, r, func(e *engine.Engine) (wait, error) {
		return wait{e.Waiting(service.Name), turnOf(e, req.Msg.GetService())}, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	seen := r.view.look(service, now.forWhat)
	m := seen.message()
	m.Turn = now.turn
	for _, t := range slices.Concat(seen.live, newestFailed(seen.tasks)) {
		m.Tasks = append(m.Tasks, wire.FromTask(t))
	}
	return connect.NewResponse(&pb.GetServiceResponse{Service: m}), nil
}

// ListServices lists services by name.
func (s *clusterService) ListServices(
	_ context.Context, req *connect.Request[pb.ListServicesRequest],
) (*connect.Response[pb.ListServicesResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	list := all(r.view, engine.ServiceKind, func(*engine.Service) bool { return true })
	page, next, err := pageOf(list, req.Msg, func(service *engine.Service) string { return string(service.Name) })
	if err != nil {
		return nil, err
	}
	answer := &pb.ListServicesResponse{NextPageToken: next}
	for _, service := range page {
		answer.Services = append(answer.Services, r.view.look(service, "").message())
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
	list := r.view.parts(id.Service(req.Msg.GetService())).revisions
	page, next, err := pageOf(list, req.Msg, func(rev *engine.Revision) string {
		return fmt.Sprintf("%019d", math.MaxInt64-int64(rev.Number)) // it counts down, so that the newest comes first
	})
	if err != nil {
		return nil, err
	}
	answer := &pb.ListRevisionsResponse{NextPageToken: next}
	for _, rev := range page {
		answer.Revisions = append(answer.Revisions, wire.FromRevision(rev))
	}
	return connect.NewResponse(answer), nil
}

// Scale sets the wanted number of instances. An absent number is refused: it is
// rather forgotten than 0.
func (s *clusterService) Scale(
	ctx context.Context, req *connect.Request[pb.ScaleRequest],
) (*connect.Response[pb.ScaleResponse], error) {
	if req.Msg.Instances == nil {
		return nil, invalidArgument(errors.New("instances: missing; want a number from 0"))
	}
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
	return lookup[*engine.Service](v, "service", engine.Key{Kind: engine.ServiceKind, ID: name})
}
