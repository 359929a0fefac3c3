package agent_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestNoAttemptIsStartedTwice, whatever is ordered, in whatever order, however
// often, and whenever the agent is killed.
func TestNoAttemptIsStartedTwice(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(drawn *rapid.T) {
		var caught any // a panic of rapid's, which must not leave the bubble by itself
		synctest.Test(t, func(*testing.T) {
			defer func() { caught = recover() }()
			playOrders(drawn, base)
		})
		if caught != nil {
			panic(caught)
		}
	})
}

// law is what must hold for a world of four tasks, whatever is asked of it.
type law struct {
	w         *world
	past      []*pb.Orders    // to be repeated
	forgotten map[string]bool // by an order, so that a later one may ask for it anew
}

func playOrders(t *rapid.T, base string) {
	dir, err := os.MkdirTemp(base, "world")
	if err != nil {
		t.Fatal(err)
	}
	lives := map[string]time.Duration{"a": 0, "b": -1, "c": time.Second, "d": time.Minute}
	w := newWorld(t, dir, func(launch runtime.Launch) fake.Play {
		return fake.Play{
			Lives: lives[string(launch.Key.Task)], Exit: runtime.Exit{Code: launch.Key.Attempt % 2}, Obeys: time.Second,
		}
	})
	defer w.close()
	l := law{w: w, forgotten: make(map[string]bool)}
	t.Repeat(map[string]func(*rapid.T){
		"run":    l.run,
		"stop":   l.stop,
		"forget": l.forget,
		"repeat": l.repeat,
		"wait": func(t *rapid.T) {
			w.pass(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, time.Hour}).Draw(t, "time"))
		},
		"slow": func(t *rapid.T) {
			w.runtime.setLate(rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "late"))
		},
		"kill": func(*rapid.T) { w.restart() },
		"cut": func(*rapid.T) {
			w.cut()
			w.pass(time.Second)
		},
		"": l.check,
	})
	l.finish(t)
}

func (l *law) send(orders *pb.Orders) {
	l.past = append(l.past, orders)
	l.w.order(orders)
}

func (*law) task(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "task")
}

func (l *law) run(t *rapid.T) {
	name := l.task(t)
	s := service()
	if name == "c" {
		s = job()
	}
	orders := runOrders(s, name)
	orders.Run[0].Attempts = rapid.Int32Range(0, 2).Draw(t, "attempts")
	if orders.Complete = rapid.Bool().Draw(t, "complete"); orders.GetComplete() {
		for _, other := range []string{"a", "b", "c", "d"} {
			l.forgotten[other] = l.forgotten[other] || other != name
		}
	}
	l.send(orders)
}

func (l *law) stop(t *rapid.T) {
	grace := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Minute}).Draw(t, "grace")
	l.send(&pb.Orders{Stop: []*pb.StopOrder{{Task: l.task(t), Grace: durationpb.New(grace)}}})
}

func (l *law) forget(t *rapid.T) {
	name := l.task(t)
	l.forgotten[name] = true
	l.send(&pb.Orders{Forget: []string{name}})
}

func (l *law) repeat(t *rapid.T) {
	if len(l.past) > 0 {
		l.w.order(rapid.SampledFrom(l.past).Draw(t, "order"))
	}
}

// check: an attempt that was started is not started again, save for an order
// that comes when its task was forgotten, and then the runtime refuses; and of
// one task never two attempts run.
func (l *law) check(t *rapid.T) {
	for _, key := range l.w.runtime.startedTwice() {
		if !l.forgotten[string(key.Task)] {
			t.Fatalf("%s was started twice\n%s", key, l.w.log)
		}
	}
	running := l.w.running()
	for i, key := range running {
		if i > 0 && key[0] == running[i-1][0] {
			t.Fatalf("two attempts of one task run: %v\n%s", running, l.w.log)
		}
	}
}

// finish: complete orders that name nothing end everything, and the master
// hears of each end.
func (l *law) finish(t *rapid.T) {
	l.w.order(&pb.Orders{Complete: true})
	l.w.pass(time.Minute)
	if running := l.w.running(); len(running) > 0 {
		t.Fatalf("%v run on\n%s", running, l.w.log)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if status := l.w.status(name); status != nil && !task.State(status.GetState()).Ended() {
			t.Fatalf("%s is %s in the end: %v\n%s", name, l.w.known(name), l.w.story(name), l.w.log)
		}
	}
	l.w.order(&pb.Orders{Complete: true})
	l.w.restart()
	if _, tasks := l.w.lastJoin(); len(tasks) > 0 {
		t.Fatalf("the last join says %v", tasks)
	}
}
