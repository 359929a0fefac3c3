package master

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// ListPools lists pools by name.
func (s *clusterService) ListPools(
	ctx context.Context, req *connect.Request[pb.ListPoolsRequest],
) (*connect.Response[pb.ListPoolsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	list := all(r.view, engine.PoolKind, func(*engine.Pool) bool { return true })
	page, next, err := pageOf(list, req.Msg, func(p *engine.Pool) string { return string(p.ID) })
	if err != nil {
		return nil, err
	}
	views, err := ask(ctx, r, func(e *engine.Engine) ([]*pb.PoolView, error) {
		var views []*pb.PoolView
		for _, p := range page {
			views = append(views, showPool(e.Books(), p))
		}
		return views, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ListPoolsResponse{Pools: views, NextPageToken: next}), nil
}

func showPool(books *ledger.Ledger, p *engine.Pool) *pb.PoolView {
	m := &pb.PoolView{Pool: wire.FromPool(p)}
	account, ok := books.Pool(p.ID)
	if !ok {
		return m
	}
	for _, t := range account.Types() {
		balance, bounded := account.Balance(t)
		m.Claimed = append(m.Claimed, wire.FromQuantity(t, resource.Scalar(balance.Claimed)))
		if bounded {
			m.Free = append(m.Free, wire.FromQuantity(t, resource.Scalar(balance.Free)))
		}
		if bounded && balance.Overcommitted() {
			m.Overcommitted = append(m.Overcommitted, string(t))
		}
	}
	return m
}

// SetPool makes or changes a pool.
func (s *clusterService) SetPool(
	ctx context.Context, req *connect.Request[pb.SetPoolRequest],
) (*connect.Response[pb.SetPoolResponse], error) {
	if size := proto.Size(req.Msg.GetPool()); size > poolBytesMax {
		return nil, invalidArgument(fmt.Errorf("pool: it takes %d bytes; want at most %d", size, poolBytesMax))
	}
	pool, err := wire.ToPool(req.Msg.GetPool())
	if err != nil {
		return nil, invalidArgument(err)
	}
	answer, err := s.master.submit(ctx, engine.SetPool{
		Pool: pool, Create: req.Msg.GetCreate(), Version: req.Msg.GetPool().GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.SetPoolResponse{Pool: wire.FromPool(answer.Pool)}), nil
}

// DeletePool forgets a pool that nobody draws from.
func (s *clusterService) DeletePool(
	ctx context.Context, req *connect.Request[pb.DeletePoolRequest],
) (*connect.Response[pb.DeletePoolResponse], error) {
	_, err := s.master.submit(ctx, engine.DeletePool{Pool: id.Pool(req.Msg.GetPool()), Version: req.Msg.GetVersion()})
	return connect.NewResponse(&pb.DeletePoolResponse{}), apiError(err)
}
