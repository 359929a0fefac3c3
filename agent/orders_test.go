package agent_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func TestOrdersMayBeRepeated(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		for range 3 {
			w.run(service(), "web-1")
		}
		w.want("web-1", "ready 1")
		for range 3 {
			w.stop("web-1", time.Second)
		}
		w.run(service(), "web-1") // late
		w.want("web-1", "stopped 1")
		for range 3 {
			w.forget("web-1")
		}

		w.run(service(), "web-1") // later still
		w.pass(time.Hour)

		if n := len(w.runtime.startedTwice()); n > 1 {
			w.Errorf("%d attempts to start it again", n)
		}
		w.want("web-1", "failed 1")
		contains(w, w.status("web-1").GetLast().GetError(), "was started before")
		if got := w.running(); len(got) != 0 {
			w.Errorf("running %v", got)
		}
	})
}

// TestAttemptsThatTheMasterKnows are not started again.
func TestAttemptsThatTheMasterKnows(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		orders := runOrders(service(), "web-1")
		orders.Run[0].Attempts = 4

		w.order(orders)

		w.want("web-1", "ready 5")
	})
}

func TestOrdersOfAnOlderEpochAreRefused(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.epoch = 7
		w.run(service(), "web-1")
		old := func() {
			w.Helper()
			w.epoch = 6
			w.run(service(), "web-2")
			w.stop("web-1", time.Second)
			w.order(&pb.Orders{Complete: true})
			w.want("web-1", "ready 1")
			w.want("web-2", "unknown")
			contains(w, w.log.String(), "deposed leader")
		}

		old()
		w.log.Reset()
		w.restart()
		old() // also after a restart of the agent

		w.epoch = 8
		w.stop("web-1", time.Second)
		w.want("web-1", "stopped 1")
	})
}

func TestAnEpochFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.end()
		write(w, filepath.Join(w.dir, "epoch"), "garbage")

		w.begin()

		contains(w, w.log.String(), "epoch not read")
		w.stop("web-1", time.Second)
		w.want("web-1", "stopped 1")
		if text, err := os.ReadFile(filepath.Join(w.dir, "epoch")); err != nil || string(text) != "1" {
			w.Errorf("epoch on disk is %q, %v", text, err)
		}
	})
}

// TestCompleteOrders stop what they do not name. The master is told of the end:
// it waits for that before it calls the agent clean.
func TestCompleteOrdersStopStrays(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Obeys: time.Second}), func(w *world) {
		w.run(service(), "web-1", "stray-1", "web-2")
		w.run(job(), "web-3")

		complete := runOrders(service(), "web-1")
		complete.Complete = true
		complete.Stop = []*pb.StopOrder{{Task: "web-2"}}
		w.order(complete)
		w.want("stray-1", "stopping 1")
		w.pass(time.Second)

		w.want("web-1", "ready 1")
		w.want("web-2", "stopped 1")
		w.want("stray-1", "stopped 1")
		w.want("web-3", "stopped 1")
		w.order(complete) // those that have ended are forgotten now
		w.restart()
		if _, tasks := w.lastJoin(); len(tasks) != 2 || tasks["web-1"] != "ready 1" || tasks["web-2"] != "stopped 1" {
			w.Errorf("the join says %v", tasks)
		}
	})
}

// TestAStopOfAnUnknownTask is answered: else the master would wait for ever.
func TestAStopOfAnUnknownTask(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.stop("web-1", time.Second)
		w.want("web-1", "stopped 0")
		w.run(service(), "web-1") // it was on its way when the stop overtook it
		w.want("web-1", "stopped 0")

		w.restart()
		if _, tasks := w.lastJoin(); tasks["web-1"] != "stopped 0" {
			w.Errorf("the join says %v", tasks)
		}
		w.forget("web-1")

		w.restart()
		if _, tasks := w.lastJoin(); len(tasks) != 0 {
			w.Errorf("the last join says %v", tasks)
		}
		if _, err := os.Stat(w.file("web-1")); err == nil {
			w.Error("a task without logs leaves a folder")
		}
	})
}

// TestOrdersThatAreNotUnderstood come from a newer master: it hears of it.
func TestOrdersThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*pb.Orders)
		want   string
	}{
		"an unknown kind of spec":     {func(o *pb.Orders) { o.Revisions[0].Spec.Kind = 77 }, "unknown value 77"},
		"an unknown kind of probe":    {func(o *pb.Orders) { o.Revisions[0].Spec.Ready = &pb.Probe{Kind: 99} }, "unknown value 99"},
		"no spec":                     {func(o *pb.Orders) { o.Revisions[0].Spec = nil }, "spec is missing"},
		"an unknown kind of quantity": {func(o *pb.Orders) { o.Run[0].Resources = []*pb.Quantity{{Type: "cpus", Kind: 55}} }, "unknown value 55"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				orders := proto.Clone(runOrders(service(), "web-1")).(*pb.Orders)
				tc.change(orders)
				good := runOrders(service(), "web-2")
				good.Revisions[0].Revision, good.Run[0].Revision = 2, 2
				orders.Revisions, orders.Run = append(orders.Revisions, good.Revisions...), append(orders.Run, good.Run...)

				w.order(orders)

				w.want("web-1", "failed 0")
				contains(w, w.status("web-1").GetLast().GetError(), "agent a1 does not understand it")
				contains(w, w.status("web-1").GetLast().GetError(), tc.want)
				w.want("web-2", "ready 1")
				w.restart()
				w.want("web-1", "failed 0")
				w.forget("web-1")
				w.restart()
				if _, tasks := w.lastJoin(); len(tasks) != 1 {
					w.Errorf("the last join says %v", tasks)
				}
			})
		})
	}
}

// TestMessagesThatSayNothing are no reason to stumble.
func TestMessagesThatSayNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		touch(w, w.file("web-0", "bystander"))
		w.send(&pb.SessionResponse{Epoch: 1})
		w.send(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Heartbeat{Heartbeat: &pb.Heartbeat{}}})
		w.send(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Logs{}})
		w.order(&pb.Orders{Run: []*pb.RunOrder{{}, {Task: "../escape"}, {Task: "without-spec", Service: "web", Revision: 9}}})
		w.order(&pb.Orders{Stop: []*pb.StopOrder{{}, {Task: "a/b"}}, Forget: []string{"", ".."}})

		w.run(service(), "web-1")

		w.want("web-1", "ready 1")
		if entries, err := os.ReadDir(filepath.Join(w.dir, "tasks")); err != nil || len(entries) != 2 {
			w.Errorf("folders %v, %v", entries, err)
		}
		if _, err := os.Stat(w.file("web-0", "bystander")); err != nil {
			w.Error(err)
		}
	})
}

// TestAStopInTheMessageOfTheRun: it is never started.
func TestAStopInTheMessageOfTheRun(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		orders := runOrders(service(), "web-1")
		orders.Stop = []*pb.StopOrder{{Task: "web-1"}}

		w.order(orders)

		w.want("web-1", "stopped 1")
		if n := w.runtime.starts(); n != 0 {
			w.Errorf("%d starts", n)
		}
	})
}

// TestCompleteOrdersThatComeTwice: a stray that ends at once is not forgotten before its
// end is reported, for which the master waits.
func TestCompleteOrdersThatComeTwice(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Refused: runtime.ErrNotFound}), func(w *world) {
		w.run(service(), "web-1")
		w.want("web-1", "backoff 1")

		for range 2 {
			w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Orders{Orders: &pb.Orders{Complete: true}}})
		}

		w.pass(time.Second)
		w.want("web-1", "stopped 1")
	})
}
