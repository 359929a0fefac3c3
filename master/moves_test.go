package master_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestMoves rebalances a town to which a machine has come back.
func TestMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, ctx := town(t), t.Context()
		n.deploy(strings.NewReplacer("instances", "pool: front\ninstances", "settle: 0s", "settle: 30s").Replace(web(2, "v1")))
		n.join("a2", 4)
		time.Sleep(time.Minute) // until web has settled

		dry := must[pb.RebalanceResponse](t)(n.api.Rebalance(ctx, ask(&pb.RebalanceRequest{DryRun: true})))
		if m := dry.GetMoves(); len(m) != 1 || m[0].GetService() != "web" || m[0].GetFrom() != "a1" || m[0].GetTo() != "a2" || m[0].GetWhy() == "" {
			t.Fatalf("a rebalance would move %v", dry)
		}
		if list := must[pb.ListMovesResponse](t)(n.api.ListMoves(ctx, ask(&pb.ListMovesRequest{}))).GetMoves(); len(list) != 0 {
			t.Errorf("nothing was asked for, and %v move", list)
		}
		must[pb.RebalanceResponse](t)(n.api.Rebalance(ctx, ask(&pb.RebalanceRequest{})))
		must[pb.AbortMovesResponse](t)(n.api.AbortMoves(ctx, ask(&pb.AbortMovesRequest{Services: []string{"web"}})))
		names := []string{dry.GetMoves()[0].GetTask()}
		state := func() pb.MoveState {
			return must[pb.ListMovesResponse](t)(n.api.ListMoves(ctx, ask(&pb.ListMovesRequest{Tasks: names}))).GetMoves()[0].GetState()
		}
		if found := state(); found != pb.MoveState_MOVE_STATE_GIVEN_UP {
			t.Errorf("taken back, the move is %v", found)
		}
		n.eventually("web is settled again", func() bool {
			return len(must[pb.RebalanceResponse](t)(n.api.Rebalance(ctx, ask(&pb.RebalanceRequest{DryRun: true}))).GetMoves()) == 1
		})
		names = []string{must[pb.RebalanceResponse](t)(n.api.Rebalance(ctx, ask(&pb.RebalanceRequest{Services: []string{"web"}, Moves: 5}))).GetMoves()[0].GetTask()}
		n.eventually("it has moved", func() bool { return state() == pb.MoveState_MOVE_STATE_DONE })
		if again := must[pb.RebalanceResponse](t)(n.api.Rebalance(ctx, ask(&pb.RebalanceRequest{}))); len(again.GetMoves()) != 0 {
			t.Errorf("another rebalance moves %v", again.GetMoves())
		}
		for name, request := range map[string]*pb.RebalanceRequest{"none": {Services: []string{"none"}}, "dry": {Services: []string{"none"}, DryRun: true}} {
			if _, err := n.api.Rebalance(ctx, ask(request)); connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("%s: %v, want not_found", name, err)
			}
		}
	})
}
