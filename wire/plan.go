package wire

import (
	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromResident returns r as a message.
func FromResident(r engine.Resident) *pb.Resident {
	return &pb.Resident{Service: string(r.Service), Kind: pb.SpecKind(r.Kind), Tasks: int32(r.Tasks), Waiting: r.Waiting}
}

// FromTurn returns t as a message.
func FromTurn(t engine.Turn) *pb.Turn {
	return &pb.Turn{
		Task: string(t.Task), Place: int32(t.Before + 1), AtLeast: t.More, Waiting: int32(t.Waiting), First: string(t.First),
		Pool: string(t.Pool), Users: t.Users, ExpectedStart: FromTime(t.Expected), Why: t.Why,
	}
}

// FromPlan returns p as a message.
func FromPlan(p engine.ServicePlan) *pb.ServicePlan {
	m := &pb.ServicePlan{
		Service: string(p.Service), Kind: pb.SpecKind(p.Kind), From: int64(p.From), To: int64(p.To),
		Changed: p.Changed, Replaces: p.Replaces, Steps: p.Steps, PeakExtra: FromVector(p.PeakExtra),
		PeakInstances: int32(p.PeakInstances), Pools: fromNames(p.Pools), Shortages: p.Shortages,
	}
	for _, c := range p.Changes {
		m.Changes = append(m.Changes, &pb.FieldChange{Field: c.Field, From: c.From, To: c.To})
	}
	return m
}
