package client_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// never is later than all that a test waits for.
const never = time.Hour

// pretender is a master that routers ask.
type pretender struct {
	leadsAfter time.Duration // before, it refuses: it is a standby
	saysAfter  time.Duration // being asked, while it leads
	gone       bool          // nobody refuses a connection to it either
	dead       bool          // its machine refuses connections
}

func (p *pretender) serve(began time.Time, epoch uint64) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(aloftv1connect.NewRouterServiceHandler(&routerLeader{session: func(stream *routerStream) error {
		if time.Since(began) < p.leadsAfter {
			return notLeading()
		}
		if _, err := stream.Receive(); err != nil {
			return err
		}
		time.Sleep(p.saysAfter)
		err := stream.Send(&pb.RouterServiceSessionResponse{Epoch: epoch, Table: &pb.RouteTable{Version: &pb.TableVersion{Epoch: epoch, Seq: 1}}})
		for err == nil {
			_, err = stream.Receive()
		}
		return err
	}}))
	return mux
}

// TestRouterFindsWhoAnswers: a master that says nothing keeps a router from another one
// for half a second, and one has the session in the end.
func TestRouterFindsWhoAnswers(t *testing.T) {
	t.Parallel()
	mute, standby, leads, gone := pretender{saysAfter: never}, pretender{leadsAfter: never}, pretender{}, pretender{gone: true}
	tests := map[string]struct {
		masters []pretender
		by      []uint64      // the master that has it, from 1, or one of them; none: nobody
		after   time.Duration // it has it, or the session ends without one
	}{
		"the first leads":            {[]pretender{leads, standby, standby}, []uint64{1}, 0},
		"the last leads":             {[]pretender{standby, standby, leads}, []uint64{3}, 0},
		"the first is halted":        {[]pretender{mute, leads, standby}, []uint64{2}, 500 * time.Millisecond},
		"the first has vanished":     {[]pretender{gone, standby, leads}, []uint64{3}, 500 * time.Millisecond},
		"the first two are halted":   {[]pretender{mute, mute, leads}, []uint64{3}, time.Second},
		"all say nothing":            {[]pretender{mute, mute, mute}, nil, 31 * time.Second},
		"all have vanished":          {[]pretender{gone, gone, gone}, nil, 3 * time.Second},
		"one is killed beside it":    {[]pretender{mute, {dead: true}, leads}, []uint64{3}, 500 * time.Millisecond},
		"nobody leads":               {[]pretender{standby, standby, standby}, nil, 0},
		"one leads after a while":    {[]pretender{mute, standby, {leadsAfter: 1800 * time.Millisecond}}, []uint64{3}, 2 * time.Second},
		"the first is slow":          {[]pretender{{saysAfter: 4 * time.Second}, standby, standby}, []uint64{1}, 4 * time.Second},
		"the only one is slow":       {[]pretender{{saysAfter: 20 * time.Second}}, []uint64{1}, 20 * time.Second},
		"the first is slow and late": {[]pretender{{saysAfter: time.Second}, leads}, []uint64{2}, 500 * time.Millisecond},
		"two say it at one moment":   {[]pretender{{saysAfter: 500 * time.Millisecond}, leads}, []uint64{1, 2}, 500 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, began := newNetwork(t), time.Now()
				masters := slices.Clone(tc.masters)
				var addresses []string
				for i := range masters {
					addresses = append(addresses, fmt.Sprintf("m%d:1", i+1))
					n.serve(addresses[i], masters[i].serve(began, uint64(i+1)))
				}
				c, err := client.Open(client.Config{Masters: addresses, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					switch m := masters[slices.Index(addresses, address)]; {
					case m.gone:
						time.Sleep(2 * time.Second)
						return nil, os.ErrDeadlineExceeded
					case m.dead:
						return nil, syscall.ECONNREFUSED
					default:
						return n.dial(ctx, network, address)
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				defer time.Sleep(2 * time.Second) // for connections that nobody waits for any more
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var by []uint64
				var after time.Duration
				next := ""

				_ = c.RouterSession(ctx, "r1", nil, func(table route.Table) {
					by, after, next = append(by, table.Version.Epoch), time.Since(began), c.Address()
				})

				if len(by) == 0 {
					after = time.Since(began)
				}
				switch {
				case len(by) != min(len(tc.by), 1) || after != tc.after:
					t.Errorf("it was told by %v after %v; want %v after %v", by, after, tc.by, tc.after)
				case len(by) > 0 && (!slices.Contains(tc.by, by[0]) || next != "http://"+addresses[by[0]-1]):
					t.Errorf("it was told by %d, and asks %s next; want %v", by[0], next, tc.by)
				}
			})
		})
	}
}
