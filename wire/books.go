package wire

import (
	"fmt"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromAgent returns a as a message. Whether the books hold it closed is left
// out: that follows from the rest when it is loaded.
func FromAgent(a *engine.Agent) *pb.Agent {
	return &pb.Agent{
		Id: string(a.ID), BootId: a.BootID, Hostname: a.Hostname, Version: a.Version, Address: a.Address,
		Attributes: a.Attributes, Partitions: FromPartitions(a.ID, a.Partitions),
		Draining: a.Draining, DrainedBy: FromTime(a.DrainedBy), JoinedAt: FromTime(a.JoinedAt),
		SilentSince: FromTime(a.SilentSince), Unreachable: a.Unreachable, Leaving: a.Leaving, DrainForced: a.DrainForced,
	}
}

func toAgent(m *pb.Agent) (*engine.Agent, error) {
	partitions, err := toPartitions(m.GetPartitions())
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", m.GetId(), err)
	}
	return &engine.Agent{
		Agent:  ledger.Agent{ID: id.Agent(m.GetId()), Attributes: m.GetAttributes(), Partitions: partitions},
		BootID: m.GetBootId(), Hostname: m.GetHostname(), Version: m.GetVersion(), Address: m.GetAddress(),
		Draining: m.GetDraining(), DrainedBy: ToTime(m.GetDrainedBy()), JoinedAt: ToTime(m.GetJoinedAt()),
		SilentSince: ToTime(m.GetSilentSince()), Unreachable: m.GetUnreachable(), Leaving: m.GetLeaving(), DrainForced: m.GetDrainForced(),
	}, nil
}

// FromPartitions returns the partitions of an agent as messages.
func FromPartitions(agent id.Agent, partitions []ledger.Partition) []*pb.Partition {
	list := make([]*pb.Partition, 0, len(partitions))
	for _, p := range partitions {
		list = append(list, FromPartition(agent, p))
	}
	return list
}

// FromPartition returns p, of that agent, as a message.
func FromPartition(agent id.Agent, p ledger.Partition) *pb.Partition {
	return &pb.Partition{
		Id: string(p.ID), Agent: string(agent), Quantity: FromQuantity(p.Type, p.Quantity), WeightThousandths: p.Weight,
	}
}

// ToPartitions returns the partitions that an agent says it has.
func ToPartitions(m *pb.Agent) ([]ledger.Partition, error) {
	if err := checkForm(m); err != nil {
		return nil, err
	}
	return toPartitions(m.GetPartitions())
}

func toPartitions(list []*pb.Partition) ([]ledger.Partition, error) {
	partitions := make([]ledger.Partition, 0, len(list))
	for _, m := range list {
		t, q, err := ToQuantity(m.GetQuantity())
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", m.GetId(), err)
		}
		if kind, fixed := t.Kind(); fixed && kind != q.Kind() && !q.IsZero() {
			return nil, fmt.Errorf("partition %s: quantity of %q: found %v; want %v", m.GetId(), t, q.Kind(), kind)
		}
		partitions = append(partitions, ledger.Partition{
			ID: id.Partition(m.GetId()), Type: t, Quantity: q, Weight: m.GetWeightThousandths(),
		})
	}
	return partitions, nil
}

// FromPool returns p as a message.
func FromPool(p *engine.Pool) *pb.Pool {
	return &pb.Pool{
		Id: string(p.ID), Quantities: FromVector(p.Quantity), Priority: int32(p.Priority), Version: p.Version,
		WeightThousandths: p.Weight,
	}
}

// ToPool returns the pool that m says.
func ToPool(m *pb.Pool) (ledger.Pool, error) {
	quantity, err := ToVector(m.GetQuantities())
	if err != nil {
		return ledger.Pool{}, fmt.Errorf("pool %s: %w", m.GetId(), err)
	}
	return ledger.Pool{
		ID: id.Pool(m.GetId()), Quantity: quantity, Priority: int(m.GetPriority()), Weight: m.GetWeightThousandths(),
	}, nil
}

func toPool(m *pb.Pool) (*engine.Pool, error) {
	pool, err := ToPool(m)
	if err != nil {
		return nil, err
	}
	return &engine.Pool{Pool: pool, Version: m.GetVersion()}, nil
}

func fromSlices(slices []ledger.Slice) []*pb.Slice {
	var list []*pb.Slice
	for _, s := range slices {
		list = append(list, &pb.Slice{Partition: string(s.Partition), Quantity: FromQuantity("", s.Quantity)})
	}
	return list
}

func toSlices(list []*pb.Slice) ([]ledger.Slice, error) {
	var slices []ledger.Slice
	for _, m := range list {
		_, q, err := ToQuantity(m.GetQuantity())
		if err != nil {
			return nil, fmt.Errorf("slice of %s: %w", m.GetPartition(), err)
		}
		slices = append(slices, ledger.Slice{Partition: id.Partition(m.GetPartition()), Quantity: q})
	}
	return slices, nil
}
