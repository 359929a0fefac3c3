package master_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestOrdersOfARushAreGathered starts three times as many copies as make a rush, on ten
// agents: one that has just got orders gets the next ones after a second, or together
// with those that do not wait for anything.
func TestOrdersOfARushAreGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents, each = 10, 300 / 10
		n := single(t)
		s := n.roomyAgents(agents)

		n.deploy(rush("first"))
		if found := ordersFor(s.told(), "first"); found != each {
			t.Errorf("%d of the first %d copies were ordered at once", found, each)
		}
		n.deploy(rush("second"))
		time.Sleep(900 * time.Millisecond)
		if found := len(s.told()); found != 0 {
			t.Errorf("%d messages of orders within a second; want those of the rush to be gathered", found)
		}
		n.deploy("daemon: web\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./serve]}\n")
		told := s.told()
		if ordersFor(told, "web") != 1 || ordersFor(told, "second") != each {
			t.Errorf("with the daemon came %d messages with %d copies of the second job", len(told), ordersFor(told, "second"))
		}
		n.deploy(rush("third"))
		time.Sleep(1100 * time.Millisecond)
		if told := s.told(); len(told) != 1 || ordersFor(told, "third") != each {
			t.Errorf("after a second came %d messages with %d copies of the third job", len(told), ordersFor(told, "third"))
		}
	})
}

// TestManyOrdersAreNotGathered starts copies on an agent that has just got orders: there are
// enough of them for a message, and it would have nothing to do meanwhile.
func TestManyOrdersAreNotGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.roomyAgents(1)
		n.deploy("service: web\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./serve]}\n")
		if found := ordersFor(s.told(), "web"); found != 1 {
			t.Errorf("%d instances were ordered", found)
		}
		for _, job := range []string{"first", "second"} {
			began := time.Now()
			n.deploy(rush(job))

			found := ordersFor(s.told(), job)
			time.Sleep(100*time.Millisecond - time.Since(began))
			later := ordersFor(s.told(), job)

			if found < 50 || found+later != 300 {
				t.Errorf("%d of the 300 copies of the %s job were ordered at once, %d within a tenth of a second", found, job, later)
			}
		}
	})
}

// TestWhatFollowsManyOrders is gathered for a tenth of the time.
func TestWhatFollowsManyOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.roomyAgents(10)
		n.deploy(copies("first", 600))
		n.deploy(rush("second"))
		began := time.Now()

		soon := s.told()
		time.Sleep(99*time.Millisecond - time.Since(began))
		gathered := s.told()
		time.Sleep(2 * time.Millisecond)
		told := append(soon, s.told()...)

		if len(gathered) != 0 {
			t.Errorf("%d messages came in the tenth of a second after many orders", len(gathered))
		}
		if first, second := ordersFor(told, "first"), ordersFor(told, "second"); first != 60 || second != 30 || ordersFor(soon, "second") == 30 {
			t.Errorf("%d of 60 copies of the first job, %d of 30 of the second were ordered, of these %d at once", first, second, ordersFor(soon, "second"))
		}
	})
}

// roomyAgents has agents with room for thousands of small tasks join, and returns the
// session of the first when all of them have rested for a moment.
func (n *node) roomyAgents(count int) *rawSession {
	n.Helper()
	var first *rawSession
	for i := range count {
		s := n.open(n.client())
		s.send(joinOf(roomy(fmt.Sprintf("a%d", i+1))))
		s.beat()
		first = cmp.Or(first, s)
	}
	time.Sleep(1100 * time.Millisecond)
	first.told()
	return first
}

// roomy is an agent with room for thousands of small tasks.
func roomy(name string) *pb.Agent {
	agent := small(name)
	for _, p := range agent.GetPartitions() {
		p.Quantity.Scalar *= 1000
	}
	return agent
}

// rush is a job of as many copies as make a rush.
func rush(name string) string { return copies(name, 300) }

// copies is a job of so many copies.
func copies(name string, count int) string {
	return fmt.Sprintf("job: %s\ncopies: %d\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./work]}\n", name, count)
}

// ordersFor counts the tasks of a service that orders have to be run.
func ordersFor(told []*pb.Orders, service string) int {
	found := 0
	for _, orders := range told {
		for _, run := range orders.GetRun() {
			if strings.HasPrefix(run.GetTask(), service+"-") {
				found++
			}
		}
	}
	return found
}
