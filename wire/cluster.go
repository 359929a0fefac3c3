package wire

import (
	"google.golang.org/protobuf/types/known/durationpb"

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
	return m
}

func toCluster(m *pb.Cluster) *engine.Cluster {
	c := &engine.Cluster{Tasks: m.GetTasks(), Regained: ToTime(m.GetRegainedAt()), Breaker: toBreaker(m.GetBreaker())}
	for _, name := range m.GetRouters() {
		c.Routers = append(c.Routers, id.Router(name))
	}
	return c
}

func fromBreaker(b engine.Breaker) *pb.BreakerRecord {
	if b == (engine.Breaker{}) {
		return nil
	}
	return &pb.BreakerRecord{
		Limit: int32(b.Limit), Window: durationpb.New(b.Window),
		OpenSince: FromTime(b.OpenSince), From: FromTime(b.From), ReleasedAt: FromTime(b.Released),
	}
}

func toBreaker(m *pb.BreakerRecord) engine.Breaker {
	return engine.Breaker{
		Limit: int(m.GetLimit()), Window: m.GetWindow().AsDuration(),
		OpenSince: ToTime(m.GetOpenSince()), From: ToTime(m.GetFrom()), Released: ToTime(m.GetReleasedAt()),
	}
}

// FromBreakerState returns how the breaker stands as a message.
func FromBreakerState(b engine.BreakerState) *pb.Breaker {
	limit, window := b.Settings()
	m := &pb.Breaker{
		Open: b.Open(), OpenSince: FromTime(b.OpenSince), LimitPercent: int32(max(0, limit)), Window: durationpb.New(window),
		Agents: int32(b.Agents), ReleasedAt: FromTime(b.Released),
	}
	for _, a := range b.Missed {
		m.Missing = append(m.Missing, &pb.MissingAgent{Agent: string(a.ID), SilentSince: FromTime(a.SilentSince)})
	}
	return m
}
