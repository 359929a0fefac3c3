package agent_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/spec"
)

// TestAFixedPortThatAnotherProgramHas: other ports would not do, so the task
// fails, and what is wrong stands in its exit.
func TestAFixedPortThatAnotherProgramHas(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	other := listen(t, "127.0.0.1")
	defer func() { _ = other.Close() }()
	port := portOf(other)
	s := service(command("sleep", "1000"))
	s.Ports = []spec.Port{{Name: "http", Number: port}}
	orders := runOrders(s, "web-1")
	orders.Run[0].Ports = map[string]int32{"http": int32(port)}

	m.order(orders)

	m.becomes("web-1", "failed 1")
	contains(t, m.status("web-1").GetLast().GetError(), fmt.Sprintf("port %d: port is taken", port))
}

// TestAMachineWithoutPorts: tasks are not sent from one to the next for ever.
func TestAMachineWithoutPorts(t *testing.T) {
	t.Parallel()
	other := listen(t, "127.0.0.1")
	defer func() { _ = other.Close() }() // nobody connected
	inWorld(t, nil, func(w *world) {
		count := 0
		next := func() string {
			count++
			name := fmt.Sprintf("web-%d", count)
			orders := runOrders(service(), name)
			orders.Run[0].Ports = map[string]int32{"http": int32(portOf(other))}
			w.order(orders)
			w.pass(20 * time.Millisecond)
			return w.known(name)
		}

		for range 50 {
			if state := next(); state != "stopped 1" {
				w.Fatalf("task %d is %s", count, state)
			}
		}
		if state := next(); state != "failed 1" {
			w.Errorf("one too many is %s", state)
		}
		w.pass(10 * time.Second)
		if state := next(); state != "stopped 1" {
			w.Errorf("a while later it is %s", state)
		}
	})
}
