package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

type agentStream = connect.BidiStream[pb.SessionRequest, pb.SessionResponse]

// orders is a message that names a task.
func orders(name string) *pb.SessionResponse {
	return &pb.SessionResponse{Message: &pb.SessionResponse_Orders{Orders: &pb.Orders{Forget: []string{name}}}}
}

func beat() *pb.SessionResponse {
	return &pb.SessionResponse{Message: &pb.SessionResponse_Heartbeat{Heartbeat: &pb.Heartbeat{}}}
}

// calm is the first word of a master that agrees to a quiet session.
func calm() *pb.SessionResponse {
	return &pb.SessionResponse{Message: &pb.SessionResponse_Orders{Orders: &pb.Orders{Complete: true, Quiet: true}}}
}

// beats says that the master is there until the session ends.
func beats(stream *agentStream) error {
	for {
		if err := stream.Send(beat()); err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
}

func TestAgentSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		var heard []string
		leads.session = func(_ context.Context, stream *agentStream) error {
			for i := range 20 {
				message, err := stream.Receive()
				if err != nil {
					return err
				}
				heard = append(heard, strings.TrimSpace(fmt.Sprint(message)))
				order := orders(fmt.Sprint("t", i))
				order.GetOrders().Quiet, order.GetOrders().Stamped = i == 0, i == 0
				if err := errors.Join(stream.Send(beat()), stream.Send(order)); err != nil {
					return err
				}
			}
			return connect.NewError(connect.CodeAborted, errors.New("that is enough"))
		}
		n.serve("m1:1", leads.handler())
		reports := make(chan *pb.AgentReport, 1)
		time.AfterFunc(2200*time.Millisecond, func() { reports <- &pb.AgentReport{Tasks: []*pb.TaskReport{{Task: "x"}}} })
		var got []string
		began := time.Now()

		err := n.open("m1:1").AgentSession(t.Context(), &pb.AgentJoin{Agent: &pb.Agent{Id: "a1"}}, reports, func(m *pb.SessionResponse) {
			got = append(got, m.GetOrders().GetForget()...)
		})

		if connect.CodeOf(err) != connect.CodeAborted || !strings.Contains(err.Error(), "session with http://m1:1: ") || !strings.Contains(err.Error(), "that is enough") {
			t.Errorf("it ended with %v", err)
		}
		// A join, 18 heartbeats, the first at once, and, after three of them, a report.
		if len(heard) != 20 || !strings.HasPrefix(heard[0], "join:") || !strings.HasPrefix(heard[1], "heartbeat:") ||
			!strings.HasPrefix(heard[4], "report:") || time.Since(began) != 17*time.Second {
			t.Errorf("in %v the master heard %q", time.Since(began), heard)
		}
		want := []string{}
		for i := range 20 {
			want = append(want, fmt.Sprint("t", i))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the agent got %q", got)
		}
	})
}

// TestSessionsFindTheLeader, and no report is lost on the way: none is taken before
// a master that leads has said something.
func TestSessionsFindTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads, refusals := newNetwork(t), &leader{}, 0
		heard := ""
		leads.session = func(_ context.Context, stream *agentStream) error {
			if _, err := stream.Receive(); err != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond) // it thinks before it answers
			if err := stream.Send(orders("t")); err != nil {
				return err
			}
			message, err := stream.Receive()
			heard = message.GetReport().GetTasks()[0].GetTask()
			return errors.Join(err, connect.NewError(connect.CodeAborted, errors.New("that is enough")))
		}
		n.serve("m1:1", standby(&refusals))
		n.serve("m2:1", standby(&refusals))
		n.serve("m3:1", leads.handler())
		reports := make(chan *pb.AgentReport, 1)
		reports <- &pb.AgentReport{Tasks: []*pb.TaskReport{{Task: "x"}}}

		err := n.open("m1:1", "m2:1", "m3:1").AgentSession(t.Context(), &pb.AgentJoin{}, reports, func(*pb.SessionResponse) {})

		if connect.CodeOf(err) != connect.CodeAborted || refusals != 2 || heard != "x" {
			t.Errorf("after %d refusals the leader heard %q; it ended with %v", refusals, heard, err)
		}
	})
}

// TestASessionIsNotTakenUpAgain: the join of one whose master leads no more is
// old. Of the next the caller says anew what it runs.
func TestASessionIsNotTakenUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads, next := newNetwork(t), &leader{}, &leader{}
		leads.session = func(_ context.Context, stream *agentStream) error {
			if _, err := stream.Receive(); err != nil {
				return err
			}
			if err := stream.Send(orders("t")); err != nil {
				return err
			}
			time.Sleep(time.Second)
			return notLeading()
		}
		n.serve("m1:1", leads.handler())
		n.serve("m2:1", next.handler())

		err := n.open("m1:1", "m2:1").AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

		if connect.CodeOf(err) != connect.CodeUnavailable || next.count() != 0 {
			t.Errorf("it ended with %v, and the next master was asked %d times", err, next.count())
		}
	})
}

// TestSessionsWithoutALeader end when every master was asked.
func TestSessionsWithoutALeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, refusals := newNetwork(t), 0
		n.serve("m1:1", standby(&refusals))
		n.serve("m2:1", standby(&refusals))

		err := n.open("m1:1", "m2:1").AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

		if connect.CodeOf(err) != connect.CodeUnavailable || refusals != 2 {
			t.Errorf("after %d refusals it ended with %v", refusals, err)
		}
	})
}

func TestSessionsThatEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		session func(context.Context, *agentStream) error
		says    string
		after   time.Duration
		next    string // the master that is tried next
	}{
		"the master says nothing at all": {
			func(ctx context.Context, _ *agentStream) error { <-ctx.Done(); return nil }, "the master is silent", 30 * time.Second, "http://m2:1",
		},
		"the master falls silent": {
			func(ctx context.Context, stream *agentStream) error {
				if err := stream.Send(beat()); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			}, "the master is silent", 3 * time.Second, "http://m2:1",
		},
		"a quiet master falls silent": {
			func(ctx context.Context, stream *agentStream) error {
				if err := stream.Send(calm()); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			}, "the master is silent", 15 * time.Minute, "http://m2:1",
		},
		"the master ends it": {
			func(context.Context, *agentStream) error { return nil }, "EOF", 0, "http://m2:1",
		},
		"the master refuses it": {
			func(context.Context, *agentStream) error {
				return connect.NewError(connect.CodeInvalidArgument, errors.New("no such agent"))
			},
			"no such agent", 0, "http://m2:1",
		},
		"the agent ends it": {
			func(_ context.Context, stream *agentStream) error { return beats(stream) }, "context deadline exceeded", 20 * time.Minute, "http://m1:1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, leads := newNetwork(t), &leader{session: tc.session}
				n.serve("m1:1", leads.handler())
				c := n.open("m1:1", "m2:1")
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
				defer cancel()
				began := time.Now()

				err := c.AgentSession(ctx, &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

				if err == nil || !strings.Contains(err.Error(), tc.says) || time.Since(began) != tc.after || c.Address() != tc.next {
					t.Errorf("after %v it ended with %v, next is %s; want after %v one that says %q, next %s",
						time.Since(began), err, c.Address(), tc.after, tc.says, tc.next)
				}
			})
		})
	}
}

// TestConnectionThatHolds is told from one through which nothing comes any more by
// the connection itself: the master of this one would not say a word for long.
func TestConnectionThatHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		leads.session = func(ctx context.Context, stream *agentStream) error {
			if err := stream.Send(calm()); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
		n.serve("m1:1", leads.handler())
		var cut atomic.Bool
		c, err := client.Open(client.Config{Masters: []string{"m1:1"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := n.dial(ctx, network, address)
			return hole{conn, &cut}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()
		time.AfterFunc(20*time.Second, func() { cut.Store(true) })

		err = c.AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

		if waited := time.Since(began) - 20*time.Second; err == nil || waited <= 0 || waited > 4500*time.Millisecond {
			t.Errorf("%v after the cut it ended with %v", waited, err)
		}
	})
}

// hole is a connection that loses all, both ways, once it is cut.
type hole struct {
	net.Conn

	cut *atomic.Bool
}

func (h hole) Read(p []byte) (int, error) {
	for {
		n, err := h.Conn.Read(p)
		if err != nil || !h.cut.Load() {
			return n, err
		}
	}
}

func (h hole) Write(p []byte) (int, error) {
	if h.cut.Load() {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func TestMasterThatIsNotThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		c := n.open("m1:1", "m2:1")

		for _, master := range []string{"m1:1", "m2:1", "m1:1"} {
			err := c.AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})
			if err == nil || !strings.Contains(err.Error(), master+" cannot be reached") {
				t.Errorf("error = %v, want one about %s", err, master)
			}
		}
	})
}

// TestSlowReceiverIsNotTheMastersSilence: the time that a message takes here is
// nobody's silence.
func TestSlowReceiverIsNotTheMastersSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		leads.session = func(_ context.Context, stream *agentStream) error {
			if err := errors.Join(stream.Send(orders("t1")), stream.Send(orders("t2"))); err != nil {
				return err
			}
			time.Sleep(20 * time.Second)
			return connect.NewError(connect.CodeAborted, errors.New("the end"))
		}
		n.serve("m1:1", leads.handler())
		got := 0

		err := n.open("m1:1").AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {
			got++
			time.Sleep(10 * time.Second)
		})

		if got != 2 || connect.CodeOf(err) != connect.CodeAborted {
			t.Errorf("after %d messages it ended with %v", got, err)
		}
	})
}

func TestConfiguredTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		var heard atomic.Int32
		leads.session = func(_ context.Context, stream *agentStream) error {
			if err := stream.Send(calm()); err != nil {
				return err
			}
			for {
				if _, err := stream.Receive(); err != nil {
					return err
				}
				heard.Add(1)
			}
		}
		n.serve("m1:1", leads.handler())
		c, err := client.Open(client.Config{Masters: []string{"m1:1"}, HeartbeatEvery: time.Minute, SilentAfter: 6 * time.Minute, Dial: n.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()

		err = c.AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

		if waited := time.Since(began); waited != 30*time.Hour || heard.Load() < 6 || heard.Load() > 7 || !strings.Contains(err.Error(), "silent") {
			t.Errorf("after %v and %d messages it ended with %v", waited, heard.Load(), err)
		}
	})
}

// TestMasterOfAnOlderVersion does not agree to a quiet session: it hears all heartbeats.
func TestMasterOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		began, heard := time.Now(), 0
		leads.session = func(_ context.Context, stream *agentStream) error {
			for heard < 11 {
				if _, err := stream.Receive(); err != nil {
					return err
				}
				heard++
				if err := stream.Send(beat()); err != nil {
					return err
				}
			}
			return connect.NewError(connect.CodeAborted, errors.New("that is enough"))
		}
		n.serve("m1:1", leads.handler())

		err := n.open("m1:1").AgentSession(t.Context(), &pb.AgentJoin{}, nil, func(*pb.SessionResponse) {})

		if heard != 11 || time.Since(began) != 10*time.Second {
			t.Errorf("in %v it heard %d messages, until %v", time.Since(began), heard, err)
		}
	})
}

func TestSendLogs(t *testing.T) {
	t.Parallel()
	type lines func() <-chan []*pb.LogLine
	batches := func(texts ...string) lines {
		return func() <-chan []*pb.LogLine {
			c := make(chan []*pb.LogLine, len(texts))
			for _, text := range texts {
				c <- []*pb.LogLine{{Text: text}}
			}
			close(c)
			return c
		}
	}
	quiet := func() <-chan []*pb.LogLine { return make(chan []*pb.LogLine) } // of a program that writes nothing
	read := func(got *[]string, stream *connect.ClientStream[pb.SendLogsRequest]) error {
		for stream.Receive() {
			m := stream.Msg()
			*got = append(*got, fmt.Sprintf("%s %v%s", m.GetRequest(), len(m.GetLines()), m.GetError()))
		}
		return stream.Err()
	}
	tests := map[string]struct {
		batches lines
		failure error
		takes   func(got *[]string, stream *connect.ClientStream[pb.SendLogsRequest]) error
		got     []string
		says    string // "" for no error
	}{
		"all of it":             {batches("a", "b"), nil, read, []string{"r1 1", "r1 1", "r1 0"}, ""},
		"nothing":               {batches(), nil, read, []string{"r1 0"}, ""},
		"an error":              {batches("a"), errors.New("the rest is gone"), read, []string{"r1 1", "r1 0the rest is gone"}, ""},
		"nobody wants it":       {batches(slices.Repeat([]string{"a"}, 50)...), nil, refuseLogs, nil, "nobody asks"},
		"the reader leaves":     {quiet, nil, refuseLogs, nil, "nobody asks"},
		"the agent is told off": {quiet, nil, read, nil, "context deadline exceeded"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, leads, got := newNetwork(t), &leader{}, []string(nil)
				leads.logs = func(_ context.Context, stream *connect.ClientStream[pb.SendLogsRequest]) error {
					return tc.takes(&got, stream)
				}
				n.serve("m1:1", leads.handler())
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()

				err := n.open("m1:1").SendLogs(ctx, "r1", tc.batches(), func() error { return tc.failure })

				if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
					t.Errorf("error = %v, want one that says %q", err, tc.says)
				}
				if tc.got != nil && !slices.Equal(got, tc.got) {
					t.Errorf("the master got %q", got)
				}
			})
		})
	}
}

// refuseLogs takes one message and has no use for more.
func refuseLogs(_ *[]string, stream *connect.ClientStream[pb.SendLogsRequest]) error {
	stream.Receive()
	return connect.NewError(connect.CodeNotFound, errors.New("nobody asks for these logs any more"))
}

func TestSendLogsToNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		err := newNetwork(t).open("m1:1").SendLogs(t.Context(), "r1", make(chan []*pb.LogLine), func() error { return nil })

		if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "m1:1 cannot be reached") {
			t.Errorf("error = %v", err)
		}
	})
}

// TestKnock asks the masters in turn until one of them leads. One of an older version,
// which does not know what a knock is, lets everybody in.
func TestKnock(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer error // of the leader
		fails  bool
	}{
		"let in":            {nil, false},
		"an older version":  {connect.NewError(connect.CodeUnimplemented, errors.New("what is that")), false},
		"it ends meanwhile": {connect.NewError(connect.CodeUnavailable, errors.New("it ends")), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, asked := newNetwork(t), 0
				var named []string
				leads := &leader{knock: func(agents []string) error { named = agents; return tc.answer }}
				n.serve("m1:1", standby(&asked))
				n.serve("m2:1", leads.handler())
				c := n.open("m1:1", "m2:1")

				err := c.Knock(t.Context(), []string{"a1", "a2"})

				if (err != nil) != tc.fails || tc.fails && !strings.Contains(err.Error(), "knock at http://m2:1: ") {
					t.Errorf("it returned %v", err)
				}
				if asked != 1 || !slices.Equal(named, []string{"a1", "a2"}) {
					t.Errorf("a standby was asked %d times, and the leader for %v", asked, named)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		if err := newNetwork(t).open("m1:1", "m2:1").Knock(t.Context(), nil); err == nil {
			t.Error("nobody is there, and it is let in")
		}
	})
}
