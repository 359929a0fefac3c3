package master

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// ListDeployments lists deployments, newest first.
func (s *clusterService) ListDeployments(
	_ context.Context, req *connect.Request[pb.ListDeploymentsRequest],
) (*connect.Response[pb.ListDeploymentsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	list := all(r.view, engine.DeploymentKind, func(d *engine.Deployment) bool {
		return req.Msg.GetService() == "" || string(d.Service) == req.Msg.GetService()
	})
	if err := r.view.unknown("service", engine.ServiceKind, req.Msg.GetService()); err != nil {
		return nil, err
	}
	page, next, err := pageOf(list, req.Msg, func(d *engine.Deployment) string {
		// Both numbers count down, so that the newest comes first.
		number, _ := strconv.Atoi(string(d.ID[strings.LastIndexByte(string(d.ID), '-')+1:]))
		return fmt.Sprintf("%020d %s %019d", math.MaxUint64-uint64(d.StartedAt.UnixNano()), d.Service, math.MaxInt-number)
	})
	if err != nil {
		return nil, err
	}
	answer := &pb.ListDeploymentsResponse{NextPageToken: next}
	for _, d := range page {
		answer.Deployments = append(answer.Deployments, wire.FromDeployment(d))
	}
	return connect.NewResponse(answer), nil
}

// GetDeployment shows one deployment.
func (s *clusterService) GetDeployment(
	_ context.Context, req *connect.Request[pb.GetDeploymentRequest],
) (*connect.Response[pb.GetDeploymentResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	d, err := lookup[*engine.Deployment](r.view, "deployment", engine.Key{Kind: engine.DeploymentKind, ID: req.Msg.GetDeployment()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GetDeploymentResponse{Deployment: wire.FromDeployment(d)}), nil
}

// PauseDeployment holds a deployment where it is.
func (s *clusterService) PauseDeployment(
	ctx context.Context, req *connect.Request[pb.PauseDeploymentRequest],
) (*connect.Response[pb.PauseDeploymentResponse], error) {
	_, err := s.master.submit(ctx, engine.PauseDeployment{Deployment: id.Deployment(req.Msg.GetDeployment())})
	return connect.NewResponse(&pb.PauseDeploymentResponse{}), apiError(err)
}

// ResumeDeployment lets a paused deployment go on.
func (s *clusterService) ResumeDeployment(
	ctx context.Context, req *connect.Request[pb.ResumeDeploymentRequest],
) (*connect.Response[pb.ResumeDeploymentResponse], error) {
	_, err := s.master.submit(ctx, engine.ResumeDeployment{Deployment: id.Deployment(req.Msg.GetDeployment())})
	return connect.NewResponse(&pb.ResumeDeploymentResponse{}), apiError(err)
}

// AbortDeployment ends a deployment and goes back.
func (s *clusterService) AbortDeployment(
	ctx context.Context, req *connect.Request[pb.AbortDeploymentRequest],
) (*connect.Response[pb.AbortDeploymentResponse], error) {
	answer, err := s.master.submit(ctx, engine.AbortDeployment{Deployment: id.Deployment(req.Msg.GetDeployment())})
	return connect.NewResponse(&pb.AbortDeploymentResponse{Deployment: string(answer.Deployment)}), apiError(err)
}
