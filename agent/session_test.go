package agent_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func TestTheJoinSaysAllThatTheAgentHas(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-2", "web-1")

		w.cut()
		w.pass(time.Second)

		join, tasks := w.lastJoin()
		a := join.GetAgent()
		if a.GetId() != "a1" || a.GetBootId() != "boot" || a.GetHostname() != "host" || a.GetVersion() != "v1" ||
			a.GetAddress() != "127.0.0.1" || a.GetAttributes()["zone"] != "a" || len(a.GetPartitions()) != 1 {
			w.Errorf("agent %v", a)
		}
		if tasks["web-1"] != "ready 1" || tasks["web-2"] != "ready 1" || join.GetTasks()[0].GetTask() != "web-1" {
			w.Errorf("tasks %v", join.GetTasks())
		}
	})
}

// TestANamesakeIsAnError that somebody must see, other than a master that ends.
func TestANamesakeIsAnError(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.cut()
		if text := w.log.String(); !strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
			w.Errorf("log: %s", text)
		}
		w.pass(time.Second)

		w.refuse(fmt.Errorf("session: %w", connect.NewError(connect.CodeAlreadyExists, errors.New("a1 is connected"))))

		if text := w.log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "a1 is connected") {
			w.Errorf("log: %s", text)
		}
	})
}

// TestReportsAreCoalesced: of each task the newest status, and of many tasks few
// reports, for each costs the master a commit.
func TestReportsAreCoalesced(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: -1}), func(w *world) {
		for i := range 200 {
			w.run(service(), fmt.Sprintf("web-%d", i))
		}
		_, reports, _ := w.counts()
		if reports != 10 {
			w.Errorf("%d reports at once", reports)
		}

		w.pass(19 * time.Millisecond)
		if _, reports, _ = w.counts(); reports != 10 {
			w.Errorf("%d reports within an interval", reports)
		}
		w.pass(time.Millisecond)
		if _, reports, _ = w.counts(); reports != 11 {
			w.Errorf("%d reports after an interval", reports)
		}

		for i := range 200 {
			w.want(fmt.Sprintf("web-%d", i), "backoff 1")
		}
		w.pass(time.Minute)
		if _, more, _ := w.counts(); more > reports+100 {
			w.Errorf("%d reports of 200 tasks that were started 5 times", more-reports)
		}
	})
}

// TestWhatChangesWithoutASession is in the next join, once.
func TestWhatChangesWithoutASession(t *testing.T) {
	t.Parallel()
	play := fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 1}}
	inWorld(t, always(play), func(w *world) {
		w.run(service(), "web-1")
		w.leave(true)
		w.cut()
		w.pass(time.Hour)

		before := len(w.story("web-1"))
		w.leave(false)
		w.pass(2 * time.Second)

		if _, tasks := w.lastJoin(); !strings.HasSuffix(tasks["web-1"], " 17") {
			w.Errorf("the join says %v", tasks)
		}
		if told := w.story("web-1")[before:]; len(told) != 1 {
			w.Errorf("told %v", told)
		}
	})
}

// TestSessionsAreTriedAgain with growing pauses, of which up to half is chance.
func TestSessionsAreTriedAgain(t *testing.T) {
	t.Parallel()
	pausesOf := func(t *testing.T) []time.Duration {
		t.Helper()
		var pauses []time.Duration
		inWorld(t, nil, func(w *world) {
			w.order(&pb.Orders{Complete: true})
			if err := w.ready(); err != nil {
				t.Errorf("not ready with a master: %v", err)
			}
			w.leave(true)
			w.cut()
			w.pass(time.Minute)
			tries := w.tried()
			for i := range tries[1:] {
				pauses = append(pauses, tries[i+1].Sub(tries[i]))
			}
			if err := w.ready(); err == nil {
				w.Error("ready without a master")
			}
			w.leave(false)
			w.pass(2 * time.Second)
			w.order(&pb.Orders{Complete: true})
			if err := w.ready(); err != nil {
				w.Errorf("not ready with a master: %v", err)
			}
		})
		return pauses
	}

	pauses := pausesOf(t)
	others := pausesOf(t)

	length := 50 * time.Millisecond
	for i, pause := range pauses {
		if pause < length/2 || pause > length {
			t.Errorf("pause %d is %v, want within half of %v", i, pause, length)
		}
		length = min(2*length, 2*time.Second)
	}
	if n := len(pauses); n < 30 {
		t.Errorf("%d pauses in a minute", n)
	}
	if slices.Equal(pauses[:5], others[:5]) {
		t.Error("two agents come back in step")
	}
}

// TestALongSessionIsFollowedByAShortPause.
func TestALongSessionIsFollowedByAShortPause(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.leave(true)
		w.cut()
		w.pass(time.Minute)
		w.leave(false)
		w.pass(time.Minute)

		w.cut()
		cut := time.Now()
		w.pass(time.Second)

		if pause := w.tried()[len(w.tried())-1].Sub(cut); pause < 0 || pause > 50*time.Millisecond {
			w.Errorf("pause %v", pause)
		}
	})
}

// TestTheLoopDoesNotWaitForItsMaster: one that takes no report holds nothing up.
func TestTheLoopDoesNotWaitForItsMaster(t *testing.T) {
	t.Parallel()
	play := fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 1}}
	inWorld(t, always(play), func(w *world) {
		w.deafen(true)
		w.run(service(), "web-1")
		w.pass(time.Hour)
		if n := w.runtime.starts(); n != 17 {
			w.Errorf("%d starts", n)
		}

		w.deafen(false)
		synctest.Wait()
		w.pass(time.Second)

		if story := w.story("web-1"); len(story) != 1 || !strings.HasSuffix(story[0], " 17") {
			w.Errorf("told %v", story)
		}
	})
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	_, err := agent.New(agent.Config{
		ID: "Not A Name", EndedMax: -1, Address: "10.0.0.5:80", Attributes: map[string]string{"a": "\xff"},
		Reconnect: agent.Reconnect{Min: time.Minute, Max: time.Second},
	}, nil, nil, nil)

	for _, want := range []string{"not a name", "data dir", "partition", "-1", "10.0.0.5:80", "UTF-8", "1m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
}
