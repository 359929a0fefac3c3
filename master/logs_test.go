package master_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
)

// reader reads logs.
type reader struct {
	leave func()
	done  chan struct{} // closed at the end

	mu    sync.Mutex // guards all below
	lines []string
	end   error
}

func (n *node) logs(req *pb.LogsRequest) *reader {
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	r := &reader{leave: cancel, done: make(chan struct{})}
	n.Cleanup(func() { cancel(); <-r.done })
	go func() {
		defer close(r.done)
		stream, err := n.api.Logs(ctx, ask(req))
		for err == nil && stream.Receive() {
			r.mu.Lock()
			for _, line := range stream.Msg().GetLines() {
				r.lines = append(r.lines, line.GetTask()+" "+line.GetText())
			}
			r.mu.Unlock()
		}
		if err == nil {
			err = stream.Err()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end = err
	}()
	return r
}

// wait returns how the reading ended.
func (r *reader) wait() error {
	<-r.done
	return r.end
}

func (r *reader) read() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// scribe answers log orders as its agent.
type scribe struct {
	node   *node
	orders []*pb.LogOrder // owned by the machine's loop
	answer func(s *scribe, order *pb.LogOrder)
	busy   sync.WaitGroup
}

// writes has a machine answer log orders.
func (n *node) writes(answer func(s *scribe, order *pb.LogOrder)) (*scribe, func(*machine)) {
	s := &scribe{node: n, answer: answer}
	n.Cleanup(s.busy.Wait)
	return s, func(m *machine) {
		m.heard = func(message *pb.SessionResponse) {
			if order := message.GetLogs(); order != nil {
				s.orders = append(s.orders, order)
				if !order.GetCancel() {
					s.busy.Go(func() { s.answer(s, order) })
				}
			}
		}
	}
}

// tell sends lines of a task, each a batch, and then an error, nil for none.
func (s *scribe) tell(order *pb.LogOrder, failure error, lines ...string) error {
	batches := make(chan []*pb.LogLine, len(lines))
	for _, text := range lines {
		batches <- []*pb.LogLine{{Task: order.GetTask(), Stream: "stdout", Text: text}}
	}
	close(batches)
	return s.node.client().SendLogs(s.node.Context(), order.GetRequest(), batches, func() error { return failure })
}

// written is a cluster in which two instances run whose logs are answered.
func written(t *testing.T, answer func(s *scribe, order *pb.LogOrder)) (*node, *scribe, *machine) {
	t.Helper()
	n := single(t)
	s, writes := n.writes(answer)
	m := n.join("a1", 4, writes)
	n.deploy(web(2, "v1"))
	n.readyOf("web", 1, 2, nil)
	return n, s, m
}

func TestLogsOfAService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, s, m := written(t, func(s *scribe, order *pb.LogOrder) {
			if err := s.tell(order, nil, "one", "two"); err != nil {
				t.Error(err)
			}
		})

		r := n.logs(&pb.LogsRequest{Name: "web"})

		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
		lines := r.read()
		slices.Sort(lines)
		if want := []string{"web-1-1 one", "web-1-1 two", "web-1-2 one", "web-1-2 two"}; !slices.Equal(lines, want) {
			t.Errorf("lines %q", lines)
		}
		m.look(func() bool {
			if o := s.orders[0]; o.GetLines() != 100 || o.GetFollow() || o.GetPrevious() || o.GetRequest() == "" {
				t.Errorf("the order was %v", o)
			}
			return true
		})
	})
}

// TestWhoseLogs: a job's are those of its newest run, each copy's newest task.
func TestWhoseLogs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	// Tasks are as old as their numbers say; one without a place is pending.
	is := func(number int, state task.State, change ...func(*engine.Task)) *engine.Task {
		made := &engine.Task{
			ID: id.Task(fmt.Sprintf("web-1-%d", number)), Service: "web", Revision: 1, Status: task.Status{State: state},
			CreatedAt: now.Add(time.Duration(number) * time.Second),
		}
		if state != task.Pending {
			made.Claim.Agent = "a1"
		}
		for _, apply := range change {
			apply(made)
		}
		return made
	}
	of := func(run int64, number int) func(*engine.Task) {
		return func(t *engine.Task) { t.Run, t.Copy = run, number }
	}
	tests := map[string]struct {
		kind    spec.Kind
		records []engine.Record
		name    string // default: web
		want    []id.Task
	}{
		"nobody's": {name: "nope"},
		"of a task that has ended": {
			name: "web-1-1", records: []engine.Record{is(1, task.Stopped), is(2, task.Ready)}, want: []id.Task{"web-1-1"},
		},
		"of a task without a place": {name: "web-1-1", records: []engine.Record{is(1, task.Pending)}},
		"of a service that runs": {
			records: []engine.Record{is(1, task.Stopped), is(2, task.Ready), is(3, task.Backoff), is(4, task.Pending)},
			want:    []id.Task{"web-1-3", "web-1-2"},
		},
		"of a service whose only live task has no place": {
			records: []engine.Record{is(1, task.Stopped), is(2, task.Failed), is(3, task.Pending)}, want: []id.Task{"web-1-2"},
		},
		"of a job that has ended": {
			kind: spec.Job,
			records: []engine.Record{
				is(1, task.Finished, of(1, 0)), is(2, task.Finished, of(1, 1)),
				is(3, task.Failed, of(2, 0)), is(4, task.Finished, of(2, 1)), is(5, task.Finished, of(2, 0)),
			},
			want: []id.Task{"web-1-5", "web-1-4"},
		},
		"of a job of which one copy still runs": {
			kind:    spec.Job,
			records: []engine.Record{is(3, task.Finished, of(2, 0)), is(4, task.Running, of(2, 1))}, want: []id.Task{"web-1-4", "web-1-3"},
		},
		"of a job whose retry has no place yet": {
			kind:    spec.Job,
			records: []engine.Record{is(3, task.Failed, of(2, 0)), is(4, task.Pending, of(2, 0))}, want: []id.Task{"web-1-3"},
		},
		"of a cron's newest run": {
			kind:    spec.Cron,
			records: []engine.Record{is(3, task.Finished, of(1, 0)), is(4, task.Finished, of(2, 0))}, want: []id.Task{"web-1-4"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := &engine.Service{Name: "web", Kind: tc.kind, Run: 2}

			names := master.Written(cmp.Or(tc.name, "web"), append(tc.records, service)...)

			if !slices.Equal(names, tc.want) {
				t.Errorf("those of %q; want %q", names, tc.want)
			}
		})
	}
}

// TestNoLogs: an unknown name is told from one that had no place yet.
func TestNoLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.deploy(web(1, "v1"))

		for name, says := range map[string]string{
			"nope": "unknown task or service: nope", "": "unknown task or service: ",
			"web": "no output of web: nothing of it has been started yet", "web-1-1": "no output of web-1-1: nothing",
		} {
			checkError(t, n.logs(&pb.LogsRequest{Name: name}).wait(), connect.CodeNotFound, says)
		}
	})
}

// TestPreviousLogsOfSome: a task that was never started again is passed over.
func TestPreviousLogsOfSome(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]error{"one has had one": nil, "none has had one": errors.New("no attempt before this one")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, _, _ := written(t, func(s *scribe, order *pb.LogOrder) {
					if order.GetTask() == "web-1-1" && first == nil {
						_ = s.tell(order, nil, "one")
						return
					}
					_ = s.tell(order, errors.New("no attempt before this one"))
				})

				r := n.logs(&pb.LogsRequest{Name: "web", Previous: true})

				if first != nil {
					checkError(t, r.wait(), connect.CodeNotFound, "no attempt before this one")
					return
				}
				if err := r.wait(); err != nil || !slices.Equal(r.read(), []string{"web-1-1 one"}) {
					t.Errorf("lines %q, and then %v", r.read(), err)
				}
			})
		})
	}
}

func TestLogsAreFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		batches := make(chan []*pb.LogLine)
		sent := make(chan error, 1)
		n, s, m := written(t, func(s *scribe, order *pb.LogOrder) {
			sent <- s.node.client().SendLogs(s.node.Context(), order.GetRequest(), batches, func() error { return nil })
		})
		r := n.logs(&pb.LogsRequest{Name: "web-1-1", Follow: true, Previous: true, Lines: 7})
		for i := range 3 {
			batches <- []*pb.LogLine{{Task: "web-1-1", Text: fmt.Sprint(i)}}
			time.Sleep(time.Hour) // a quiet program
		}
		if lines := r.read(); !slices.Equal(lines, []string{"web-1-1 0", "web-1-1 1", "web-1-1 2"}) {
			t.Errorf("lines %q", lines)
		}

		r.leave()

		if err := <-sent; connect.CodeOf(err) != connect.CodeNotFound && connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("the agent's answer ended with %v", err)
		}
		n.eventually("the agent is told", func() bool {
			return m.look(func() bool { return s.orders[len(s.orders)-1].GetCancel() })
		})
		m.look(func() bool {
			first, last := s.orders[0], s.orders[len(s.orders)-1]
			if !first.GetFollow() || !first.GetPrevious() || first.GetLines() != 7 || last.GetRequest() != first.GetRequest() {
				t.Errorf("the orders were %v", s.orders)
			}
			return true
		})
	})
}

func TestLogsThatDoNotCome(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer func(s *scribe, order *pb.LogOrder)
		then   func(n *node, m *machine)
		code   connect.Code
		says   string
	}{
		"the agent does not answer": {
			answer: func(*scribe, *pb.LogOrder) {}, code: connect.CodeDeadlineExceeded, says: "agent a1 did not answer",
		},
		"the agent has none": {
			answer: func(s *scribe, order *pb.LogOrder) { _ = s.tell(order, errors.New("the attempt has written nothing")) },
			code:   connect.CodeNotFound, says: "the attempt has written nothing",
		},
		"the agent leaves before it answers": {
			answer: func(*scribe, *pb.LogOrder) {},
			then:   func(_ *node, m *machine) { m.leave() },
			code:   connect.CodeUnavailable, says: "agent a1 of task web-1-1 is out of reach",
		},
		"the answer breaks": {
			answer: func(s *scribe, order *pb.LogOrder) {
				ctx, cancel := context.WithCancel(s.node.Context())
				stream := aloftv1connect.NewAgentServiceClient(s.node.client(), "http://masters").SendLogs(ctx)
				_ = stream.Send(&pb.SendLogsRequest{Request: order.GetRequest()})
				time.Sleep(time.Second)
				cancel()
			},
			code: connect.CodeCanceled,
		},
		"the term ends": {
			answer: func(*scribe, *pb.LogOrder) {},
			then:   func(n *node, _ *machine) { n.cluster.Depose() },
			code:   connect.CodeUnavailable,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, _, m := written(t, tc.answer)
				r := n.logs(&pb.LogsRequest{Name: "web-1-1", Follow: true})
				synctest.Wait()

				if tc.then != nil {
					tc.then(n, m)
				}

				checkError(t, r.wait(), tc.code, tc.says)
			})
		})
	}
}

func TestLogsOfASilentAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, _, m := written(t, func(*scribe, *pb.LogOrder) {})
		m.leave()
		n.eventually("it is silent", func() bool { return n.silent("a1") })

		err := n.logs(&pb.LogsRequest{Name: "web"}).wait()

		checkError(t, err, connect.CodeUnavailable, "out of reach")
	})
}

func TestAnswersThatNobodyAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, s, _ := written(t, func(*scribe, *pb.LogOrder) {})

		err := s.tell(&pb.LogOrder{Request: "guessed"}, nil, "gotcha")

		checkError(t, err, connect.CodeNotFound, "nobody asks")
		stream := aloftv1connect.NewAgentServiceClient(n.client(), "http://masters").SendLogs(t.Context())
		_, err = stream.CloseAndReceive()
		checkError(t, err, connect.CodeInvalidArgument, "no message")
	})
}

// TestReaderThatStops has an agent send more than a reader takes.
func TestReaderThatStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 1)
		n, _, _ := written(t, func(s *scribe, order *pb.LogOrder) {
			sent <- s.tell(order, nil, slices.Repeat([]string{noise(100 << 10)}, 50)...)
		})
		var line *valve
		stopped := n.clientOver(&line)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := stopped.Cluster().Logs(ctx, ask(&pb.LogsRequest{Name: "web-1-1"}))
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		line.shut()
		defer line.reopen()

		err = <-sent

		checkError(t, err, connect.CodeNotFound, "nobody asks")
	})
}
