package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
)

// Routers refuse a table whole when two services have one rule. A service that
// was stopped may find its old route taken when it has to go back.
func TestRollbackToARouteThatIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	at := func(host string) func(*spec.Spec) {
		return func(s *spec.Spec) { s.Routes = []spec.Route{{Host: host, Path: "/", Port: "http"}} }
	}
	w.deploy(web("first", "ok", 1, at("shared.localhost")))
	w.pass(time.Minute)
	w.ask(engine.StopService{Service: "first"})
	w.pass(time.Minute)
	w.deploy(web("second", "ok", 1, at("shared.localhost")))
	w.pass(time.Minute)
	w.deploy(web("first", "exit", 1, version(2), at("other.localhost")))
	for range 60 {
		w.pass(time.Second)
		if _, err := route.Compile(w.engine.Table()); err != nil {
			t.Fatalf("routers refuse the table: %v\n%s", err, w.story.String())
		}
	}
	w.lead()
	table := w.engine.Table()
	matcher, err := route.Compile(table)
	if err != nil {
		t.Fatalf("routers refuse a new leader's table: %v", err)
	}
	if i, ok := matcher.Match("shared.localhost", "/"); !ok || table.Services[i].Name != "second" {
		t.Errorf("shared.localhost does not lead to its owner: %v", table.Services)
	}
}

// A leader whose clock is behind that of the one before must not take what it
// starts for what was there before the restart.
func TestRestartedOnceWithAClockThatIsBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 1))
	w.pass(time.Minute)
	w.ask(engine.Restart{Service: "hello"})
	w.pass(time.Minute)
	w.now = w.now.Add(-10 * time.Minute)
	w.lead()
	before := len(w.used)
	w.ask(engine.Scale{Service: "hello", Instances: 2})
	w.pass(9 * time.Minute)
	if n := len(w.used) - before; n != 1 {
		t.Errorf("%d instances were started for one that was missing\n%s", n, w.story.String())
	}
}

func TestAddressThatRoutersRefuse(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"a host", "http://host", "[host", "host]"} {
		joined := engine.AgentJoined{Agent: ledger.Agent{ID: "a1"}, Address: address}
		if _, err := engine.New(engine.Config{}).Step(joined, noon); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("address %q: %v, want it refused", address, err)
		}
	}
}
