package ledger

import (
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Overcommit is a pool, or a partition of an agent, of which more is claimed
// than there is. Nothing is killed for it, and nothing starts on it.
type Overcommit struct {
	Pool      id.Pool // "" for a partition
	Agent     id.Agent
	Partition id.Partition
	Type      resource.Type
	Kind      resource.Kind
	Balance   Balance
}

// String says what is overcommitted, and by how much.
func (o Overcommit) String() string {
	who := fmt.Sprintf("pool %s", o.Pool)
	if o.Pool == "" {
		who = fmt.Sprintf("partition %s of agent %s", o.Partition, o.Agent)
	}
	return fmt.Sprintf("%s is overcommitted: %s of %s %s are claimed", who,
		resource.FormatAmount(o.Type, o.Kind, o.Balance.Claimed), resource.FormatAmount(o.Type, o.Kind, o.Balance.Quantity), o.Type)
}

// Overcommitted returns what is overcommitted: pools by name and type, then
// partitions by agent, type, weight and name.
func (l *Ledger) Overcommitted() []Overcommit {
	var list []Overcommit
	for _, p := range l.pools {
		for _, used := range p.used {
			if sum, limited := p.balance(used.of); limited && sum.Overcommitted() {
				list = append(list, Overcommit{Pool: p.ID, Type: used.of, Kind: used.kind, Balance: sum})
			}
		}
	}
	for _, a := range l.agents {
		for i := range a.shares {
			s := &a.shares[i]
			if sum := s.balance(a.closed); sum.Overcommitted() {
				list = append(list, Overcommit{Agent: a.id, Partition: s.ID, Type: s.Type, Kind: s.kind(), Balance: sum})
			}
		}
	}
	return list
}
