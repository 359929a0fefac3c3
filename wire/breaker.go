package wire

import (
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

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

func fromServiceBreaker(b engine.ServiceBreaker) *pb.ServiceBreaker {
	if b == (engine.ServiceBreaker{}) {
		return nil
	}
	return &pb.ServiceBreaker{OpenSince: FromTime(b.OpenSince), From: FromTime(b.From), ReleasedAt: FromTime(b.Released)}
}

func toServiceBreaker(m *pb.ServiceBreaker) engine.ServiceBreaker {
	return engine.ServiceBreaker{OpenSince: ToTime(m.GetOpenSince()), From: ToTime(m.GetFrom()), Released: ToTime(m.GetReleasedAt())}
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
	for _, s := range b.Services {
		sick := &pb.SickService{Service: string(s.Service), OpenSince: FromTime(s.OpenSince), Instances: int32(s.Instances)}
		for _, t := range s.Unhealthy {
			sick.Unhealthy = append(sick.Unhealthy, string(t.ID))
		}
		m.Services = append(m.Services, sick)
	}
	return m
}
