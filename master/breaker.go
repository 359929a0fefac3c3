package master

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// GetBreaker says how the breaker stands.
func (s *clusterService) GetBreaker(
	ctx context.Context, _ *connect.Request[pb.GetBreakerRequest],
) (*connect.Response[pb.GetBreakerResponse], error) {
	breaker, err := s.breaker(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GetBreakerResponse{Breaker: breaker}), nil
}

// SetBreaker sets when the breaker opens.
func (s *clusterService) SetBreaker(
	ctx context.Context, req *connect.Request[pb.SetBreakerRequest],
) (*connect.Response[pb.SetBreakerResponse], error) {
	if req.Msg.LimitPercent == nil && req.Msg.Window == nil {
		return nil, invalidArgument(fmt.Errorf("limit_percent, window: found neither; want one of them"))
	}
	limit := int(req.Msg.GetLimitPercent())
	switch {
	case limit < 0:
		return nil, invalidArgument(fmt.Errorf("limit_percent: found %d; want 1 to 99, or 0 for never", limit))
	case req.Msg.LimitPercent != nil && limit == 0:
		limit = -1
	}
	if req.Msg.Window != nil && req.Msg.GetWindow().AsDuration() <= 0 {
		return nil, invalidArgument(fmt.Errorf("window: found %v; want more than 0", req.Msg.GetWindow().AsDuration()))
	}
	if _, err := s.master.submit(ctx, engine.SetBreaker{Limit: limit, Window: req.Msg.GetWindow().AsDuration()}); err != nil {
		return nil, apiError(err)
	}
	breaker, err := s.breaker(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SetBreakerResponse{Breaker: breaker}), nil
}

// ReleaseBreaker closes the breaker although agents are missing or instances are
// unhealthy.
func (s *clusterService) ReleaseBreaker(
	ctx context.Context, req *connect.Request[pb.ReleaseBreakerRequest],
) (*connect.Response[pb.ReleaseBreakerResponse], error) {
	answer, err := s.master.submit(ctx, engine.ReleaseBreaker{Service: id.Service(req.Msg.GetService())})
	if err != nil {
		return nil, apiError(err)
	}
	breaker, err := s.breaker(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ReleaseBreakerResponse{Released: answer.Changed, Breaker: breaker}), nil
}

// breaker asks the loop how the breaker stands.
func (s *clusterService) breaker(ctx context.Context) (*pb.Breaker, error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	breaker, err := ask(ctx, r, func(e *engine.Engine) (*pb.Breaker, error) { return wire.FromBreakerState(e.Breaker()), nil })
	return breaker, apiError(err)
}
