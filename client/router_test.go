package client_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

type routerStream = connect.BidiStream[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse]

// routerLeader answers a router's session.
type routerLeader struct {
	aloftv1connect.UnimplementedRouterServiceHandler

	session func(*routerStream) error
}

func (l *routerLeader) Session(_ context.Context, stream *routerStream) error {
	return l.session(stream)
}

func TestRouterSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var confirmed []uint64
		leads := &routerLeader{session: func(stream *routerStream) error {
			for seq := uint64(1); seq <= 3; seq++ {
				message, err := stream.Receive()
				if err != nil || message.GetRouter() != "r1" {
					return errors.Join(err, errors.New("from "+message.GetRouter()))
				}
				for ; message.GetApplied() == nil && seq > 1; message, err = stream.Receive() { // heartbeats
					if err != nil {
						return err
					}
				}
				confirmed = append(confirmed, message.GetApplied().GetSeq())
				beat := &pb.RouterServiceSessionResponse{Epoch: 5}
				table := &pb.RouterServiceSessionResponse{Epoch: 5, Table: &pb.RouteTable{Version: &pb.TableVersion{Epoch: 5, Seq: seq}}}
				if err := errors.Join(stream.Send(beat), stream.Send(table)); err != nil {
					return err
				}
			}
			return connect.NewError(connect.CodeAborted, errors.New("a newer session took its place"))
		}}
		mux := http.NewServeMux()
		mux.Handle(aloftv1connect.NewRouterServiceHandler(leads))
		n.serve("m1:1", mux)
		confirmations := make(chan route.Confirmation, 1)
		var applied []route.Version

		err := n.open("m1:1").RouterSession(t.Context(), "r1", confirmations, func(table route.Table) {
			applied = append(applied, table.Version)
			time.AfterFunc(700*time.Millisecond, func() { confirmations <- route.Confirmation{Router: "r1", Version: table.Version} })
		})

		if connect.CodeOf(err) != connect.CodeAborted || !strings.Contains(err.Error(), "http://m1:1") {
			t.Errorf("it ended with %v", err)
		}
		if want := []route.Version{{Epoch: 5, Seq: 1}, {Epoch: 5, Seq: 2}, {Epoch: 5, Seq: 3}}; !slices.Equal(applied, want) {
			t.Errorf("it applied %v", applied)
		}
		if !slices.Equal(confirmed, []uint64{0, 1, 2}) {
			t.Errorf("the master got %v", confirmed)
		}
	})
}

// A goodbye is the last that the master hears, after all that was confirmed, and
// what it makes of it ends the session.
func TestRouterSaysGoodbye(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer error
		good   bool
	}{
		"heard":     {nil, true},
		"not heard": {connect.NewError(connect.CodeUnavailable, errors.New("this master does not lead")), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				var heard []*pb.RouterServiceSessionRequest
				leads := &routerLeader{session: func(stream *routerStream) error {
					if err := stream.Send(&pb.RouterServiceSessionResponse{Epoch: 5}); err != nil {
						return err
					}
					for {
						message, err := stream.Receive()
						if err != nil {
							break
						}
						heard = append(heard, message)
					}
					return tc.answer
				}}
				mux := http.NewServeMux()
				mux.Handle(aloftv1connect.NewRouterServiceHandler(leads))
				n.serve("m1:1", mux)
				confirmations := make(chan route.Confirmation, 1)
				confirmations <- route.Confirmation{Router: "r1", Version: route.Version{Epoch: 5, Seq: 7}}
				close(confirmations)

				err := n.open("m1:1").RouterSession(t.Context(), "r1", confirmations, func(route.Table) {})

				if good := err == nil; good != tc.good {
					t.Errorf("it ended with %v", err)
				}
				if len(heard) != 3 || heard[1].GetApplied().GetSeq() != 7 || heard[1].GetGoodbye() || !heard[2].GetGoodbye() || heard[2].GetApplied() != nil {
					t.Errorf("the master heard %v", heard)
				}
			})
		})
	}
}
