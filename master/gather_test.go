package master_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestOrdersOfARushAreGathered starts three times as many copies as make a rush: an
// agent that has just got orders gets the next ones after a second, or together with
// those that do not wait for anything.
func TestOrdersOfARushAreGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(roomy("a1")))
		s.beat()
		time.Sleep(1100 * time.Millisecond)
		s.told()

		n.deploy(rush("first"))
		if found := ordersFor(s.told(), "first"); found != 300 {
			t.Errorf("%d of the first 300 copies were ordered at once", found)
		}
		n.deploy(rush("second"))
		time.Sleep(900 * time.Millisecond)
		if found := len(s.told()); found != 0 {
			t.Errorf("%d messages of orders within a second; want those of the rush to be gathered", found)
		}
		n.deploy("service: web\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./serve]}\n")
		told := s.told()
		if ordersFor(told, "web") != 1 || ordersFor(told, "second") != 300 {
			t.Errorf("with the service came %d messages with %d copies of the second job", len(told), ordersFor(told, "second"))
		}
		n.deploy(rush("third"))
		time.Sleep(1100 * time.Millisecond)
		if told := s.told(); len(told) != 1 || ordersFor(told, "third") != 300 {
			t.Errorf("after a second came %d messages with %d copies of the third job", len(told), ordersFor(told, "third"))
		}
	})
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
func rush(name string) string {
	return fmt.Sprintf("job: %s\ncopies: 300\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [./work]}\n", name)
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
