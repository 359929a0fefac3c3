package master_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// serving returns a cluster in which a router serves one instance, and waits
// for long enough that no router of an earlier leader is expected.
func serving(t *testing.T) (n *node, r *balancer, instance string) {
	t.Helper()
	n = single(t)
	n.join("a1", 4)
	r = n.balance("r1")
	n.deploy(web(1, "v1"))
	n.readyOf("web", 1, 1, nil)
	n.eventually("the router serves it", func() bool { return len(r.serves()) == 1 })
	return n, r, r.serves()[0]
}

func (n *node) scale(service string, instances int32) {
	n.Helper()
	must[pb.ScaleResponse](n.T)(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: service, Instances: &instances})))
}

// state returns the state of a task, 0 when it is not there.
func (n *node) state(task string) pb.TaskState {
	n.Helper()
	for _, t := range must[pb.ListTasksResponse](n.T)(n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{Ended: true}))).GetTasks() {
		if t.GetId() == task {
			return t.GetStatus().GetState()
		}
	}
	return 0
}

func TestDrainWaitsForTheRouter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, r, instance := serving(t)
		r.hold()
		n.scale("web", 0)
		n.eventually("it has left the table", func() bool { return len(r.serves()) == 0 })
		draining := func(when string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if state := n.state(instance); state != pb.TaskState_TASK_STATE_DRAINING {
				t.Fatalf("%s it is %v", when, state)
			}
		}

		draining("before the router has the table")
		r.goOn(route.Busy{Task: "web-1-1", Requests: 2})
		draining("while requests are in flight")
		r.goOn()

		n.eventually("it has stopped", func() bool { return n.state(instance) == pb.TaskState_TASK_STATE_STOPPED })
	})
}

func TestDrainEndsByItself(t *testing.T) {
	t.Parallel()
	tests := map[string]func(r *balancer){
		"when the router never confirms":   func(*balancer) {},
		"when the router leaves meanwhile": func(r *balancer) { r.leave() },
	}
	for name, happens := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, r, instance := serving(t)
				r.hold()
				began := time.Now()
				n.scale("web", 0)
				n.eventually("it has left the table", func() bool { return len(r.serves()) == 0 })

				happens(r)

				n.eventually("it has stopped", func() bool { return n.state(instance) == pb.TaskState_TASK_STATE_STOPPED })
				if waited := time.Since(began); waited < 30*time.Second || waited > 33*time.Second {
					t.Errorf("it was stopped after %v, its drain is 30s", waited)
				}
			})
		})
	}
}

func TestInfoTellsOfRouters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, r, _ := serving(t)
		info := func() []*pb.RouterInfo {
			return must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))).GetRouters()
		}
		n.eventually("the router has confirmed", func() bool {
			list, newest := info(), r.seen()[len(r.seen())-1].Version
			return len(list) == 1 && list[0].GetId() == "r1" && list[0].GetConnected() && list[0].GetApplied().GetSeq() == newest.Seq
		})

		r.leave()

		n.eventually("it is gone", func() bool { return len(info()) == 0 })
	})
}

func TestDrainDoesNotWaitForARouterThatSaidGoodbye(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, r, instance := serving(t)
		other := n.balance("r2")
		r.hold()
		other.hold()
		n.scale("web", 0)
		n.eventually("it has left the table", func() bool { return len(r.serves()) == 0 && len(other.serves()) == 0 })
		time.Sleep(5 * time.Second)

		r.goodbye()
		time.Sleep(5 * time.Second)
		if state := n.state(instance); state != pb.TaskState_TASK_STATE_DRAINING {
			t.Fatalf("the other router has not confirmed, and it is %v", state)
		}
		if routers := must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))).GetRouters(); len(routers) != 1 || routers[0].GetId() != "r2" {
			t.Errorf("the routers are %v", routers)
		}
		began := time.Now()
		other.goodbye()

		n.eventually("it has stopped", func() bool { return n.state(instance) == pb.TaskState_TASK_STATE_STOPPED })
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("it was stopped %v after the last goodbye", waited)
		}
	})
}

// A router that comes back under the name of one that has left is waited for.
func TestGoodbyeIsOfOneSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, _, instance := serving(t)
		n.rawRouter("r2", n.client()).goodbye()
		n.eventually("it is forgotten", func() bool { return !n.knowsRouter("r2") })
		newer := n.balance("r2")
		newer.hold()

		n.scale("web", 0)

		time.Sleep(10 * time.Second)
		if state := n.state(instance); state != pb.TaskState_TASK_STATE_DRAINING {
			t.Errorf("the newer session has not confirmed, and the instance is %v", state)
		}
		newer.goodbye()
		n.eventually("it has stopped", func() bool { return n.state(instance) == pb.TaskState_TASK_STATE_STOPPED })
	})
}

// A goodbye may be heard in a session that a newer one has replaced, and that does
// not know it yet because its client reads too slowly. It is not the newer one's.
func TestGoodbyeOfAReplacedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, r, _ := serving(t)
		var line *valve
		older := n.rawRouter("r2", n.clientOver(&line))
		line.shut()
		for i := range int32(3) { // the second of these tables cannot be sent
			n.scale("web", i+2)
			n.readyOf("web", 1, i+2, nil)
		}
		newer := n.balance("r2")
		newer.hold()
		older.goodbye()
		synctest.Wait()

		n.scale("web", 0)

		n.eventually("they have left the table", func() bool { return len(r.serves()) == 0 })
		time.Sleep(3 * time.Second)
		for task := int32(1); task <= 4; task++ {
			if state := n.state(fmt.Sprintf("web-1-%d", task)); state != pb.TaskState_TASK_STATE_DRAINING {
				t.Errorf("the newer session has not confirmed, and instance %d is %v", task, state)
			}
		}
		line.reopen()
	})
}

// knowsRouter reports whether a router is in a session.
func (n *node) knowsRouter(name string) bool {
	n.Helper()
	for _, r := range must[pb.GetInfoResponse](n.T)(n.api.GetInfo(n.Context(), ask(&pb.GetInfoRequest{}))).GetRouters() {
		if r.GetId() == name {
			return true
		}
	}
	return false
}

// manualRouter is a router's session whose messages the test sends.
type manualRouter struct {
	name   string
	stream *connect.BidiStreamForClient[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse]
}

// rawRouter opens a session and returns when it has brought a table.
func (n *node) rawRouter(name string, over *client.Client) *manualRouter {
	n.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	n.Cleanup(cancel)
	r := &manualRouter{name, aloftv1connect.NewRouterServiceClient(over, "http://masters").Session(ctx)}
	if err := r.stream.Send(&pb.RouterServiceSessionRequest{Router: name}); err != nil {
		n.Fatal(err)
	}
	if _, err := r.stream.Receive(); err != nil {
		n.Fatal(err)
	}
	return r
}

// goodbye says it, in a session that may have ended, and then what no router may
// say after it: that it has applied the newest table of all.
func (r *manualRouter) goodbye() {
	_ = r.stream.Send(&pb.RouterServiceSessionRequest{Router: r.name, Goodbye: true})
	_ = r.stream.Send(&pb.RouterServiceSessionRequest{Router: r.name, Applied: &pb.TableVersion{Epoch: 1 << 40}})
}

// valve is a connection whose reader can be stopped.
type valve struct {
	net.Conn

	open chan struct{} // holds a token while it is open
}

func (v *valve) shut()   { <-v.open }
func (v *valve) reopen() { v.open <- struct{}{} }

// clientOver returns a client, and puts its connection at line once there is one.
func (n *node) clientOver(line **valve) *client.Client {
	n.Helper()
	c, err := client.Open(client.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := n.lines.dial(ctx, network, address)
		*line = &valve{Conn: conn, open: make(chan struct{}, 1)}
		(*line).reopen()
		return *line, err
	}})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

func (v *valve) Read(into []byte) (int, error) {
	n, err := v.Conn.Read(into)
	v.shut()
	v.reopen()
	return n, err
}

func TestSlowRouterGetsTheNewestTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.join("a1", 100)
		var line *valve
		c := n.clientOver(&line)
		tables := make(chan route.Table, 100)
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() {
			_ = c.RouterSession(ctx, "r1", make(chan route.Confirmation), func(table route.Table) { tables <- table })
		})
		defer following.Wait()
		defer cancel()
		<-tables
		reads := make(chan struct{})
		line.shut()
		time.AfterFunc(time.Second, func() { line.reopen(); close(reads) })

		n.deploy(web(1, "v1"))
		for i := range int32(20) {
			n.scale("web", i+1)
			n.readyOf("web", 1, i+1, nil)
		}
		<-reads

		n.eventually("the newest table", func() bool {
			synctest.Wait()
			return len(tables) > 0
		})
		time.Sleep(100 * time.Millisecond)
		got := []int{}
		for len(tables) > 0 {
			got = append(got, len((<-tables).Services[0].Endpoints))
		}
		if len(got) > 5 || got[len(got)-1] != 20 || !slices.IsSorted(got) {
			t.Errorf("tables came with %v endpoints", got)
		}
	})
}

func TestRefusedRouters(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		router string
		code   connect.Code
	}{
		"no name":                       {"", connect.CodeInvalidArgument},
		"a name that is none":           {"R 1", connect.CodeInvalidArgument},
		"one that says nothing further": {"r1", connect.CodeDeadlineExceeded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stream := aloftv1connect.NewRouterServiceClient(n.client(), "http://masters").Session(ctx)
				if err := stream.Send(&pb.RouterServiceSessionRequest{Router: tc.router}); err != nil {
					t.Fatal(err)
				}

				var err error
				for err == nil {
					_, err = stream.Receive()
				}

				checkError(t, err, tc.code)
			})
		})
	}
}

func TestNewerRouterSessionTakesThePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, _, instance := serving(t)
		older := n.rawRouter("r2", n.client()).stream
		newer := n.balance("r2")
		newer.hold()

		var err error
		for err == nil {
			_, err = older.Receive()
		}

		checkError(t, err, connect.CodeAborted, "a newer session took its place")
		n.scale("web", 0)
		time.Sleep(10 * time.Second)
		if state := n.state(instance); state != pb.TaskState_TASK_STATE_DRAINING {
			t.Errorf("the newer session has not confirmed, and the instance is %v", state)
		}
	})
}
