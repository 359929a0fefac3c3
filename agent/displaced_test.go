package agent_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/aloft-run/aloft/core/spec"
)

// TestAFixedPortThatAnotherProgramHas: other ports would not do, so the task
// fails, and what is wrong stands in its exit.
func TestAFixedPortThatAnotherProgramHas(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	other := listen(t)
	defer func() { _ = other.Close() }()
	port := other.Addr().(*net.TCPAddr).Port
	s := service(command("sleep", "1000"))
	s.Ports = []spec.Port{{Name: "http", Number: port}}
	orders := runOrders(s, "web-1")
	orders.Run[0].Ports = map[string]int32{"http": int32(port)}

	m.order(orders)

	m.becomes("web-1", "failed 1")
	contains(t, m.status("web-1").GetLast().GetError(), fmt.Sprintf("port %d: port is taken", port))
}
