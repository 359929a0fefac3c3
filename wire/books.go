package wire

import (
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

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

// ToPartitions returns the partitions that the messages say.
func ToPartitions(list []*pb.Partition) ([]ledger.Partition, error) {
	partitions := make([]ledger.Partition, 0, len(list))
	for _, m := range list {
		t, q, err := ToQuantity(m.GetQuantity())
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", m.GetId(), err)
		}
		partitions = append(partitions, ledger.Partition{
			ID: id.Partition(m.GetId()), Type: t, Quantity: q, Weight: m.GetWeightThousandths(),
		})
	}
	return partitions, nil
}

// ToPool returns the pool that m says.
func ToPool(m *pb.Pool) (ledger.Pool, error) {
	quantity, err := ToVector(m.GetQuantities())
	if err != nil {
		return ledger.Pool{}, fmt.Errorf("pool %s: %w", m.GetId(), err)
	}
	return ledger.Pool{ID: id.Pool(m.GetId()), Quantity: quantity, Priority: int(m.GetPriority())}, nil
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
