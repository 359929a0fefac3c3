package wire

import (
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromCluster returns c as a message.
func FromCluster(c *engine.Cluster) *pb.Cluster {
	m := &pb.Cluster{Tasks: c.Tasks, RegainedAt: FromTime(c.Regained), Breaker: fromBreaker(c.Breaker)}
	for _, name := range c.Routers {
		m.Routers = append(m.Routers, string(name))
	}
	if k := c.Kept; k != (engine.Reservation{}) {
		m.Kept = &pb.Reservation{Task: string(k.Task), Agent: string(k.Agent), Since: FromTime(k.Since), Start: FromTime(k.Start)}
	}
	return m
}

func toCluster(m *pb.Cluster) *engine.Cluster {
	c := &engine.Cluster{Tasks: m.GetTasks(), Regained: ToTime(m.GetRegainedAt()), Breaker: toBreaker(m.GetBreaker())}
	for _, name := range m.GetRouters() {
		c.Routers = append(c.Routers, id.Router(name))
	}
	if k := m.GetKept(); k != nil {
		c.Kept = engine.Reservation{
			Task: id.Task(k.GetTask()), Agent: id.Agent(k.GetAgent()), Since: ToTime(k.GetSince()), Start: ToTime(k.GetStart()),
		}
	}
	return c
}
