package ledger

import (
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// ShortageError says what an agent, one of its partitions, or a pool lacks.
type ShortageError struct {
	Agent     id.Agent     // "" if a pool is short
	Partition id.Partition // "" if all partitions of the type together are short
	Pool      id.Pool      // "" if an agent is short
	Type      resource.Type
	Kind      resource.Kind
	Port      int64 // the one port that is wanted, or 0 if it is not about one
	Wanted    int64 // in the type's smallest unit, or how many numbers or members
	Free      int64 // below zero if overcommitted
}

// Missing returns how much more would be enough.
func (e *ShortageError) Missing() int64 { return e.Wanted - e.Free }

// Error says who is short of what, and by how much.
func (e *ShortageError) Error() string {
	who := fmt.Sprintf("agent %s", e.Agent)
	switch {
	case e.Pool != "":
		who = fmt.Sprintf("pool %s", e.Pool)
	case e.Partition != "":
		who = fmt.Sprintf("partition %s of agent %s", e.Partition, e.Agent)
	}
	if e.Port != 0 {
		return fmt.Sprintf("%s does not have port %d free", who, e.Port)
	}
	text := fmt.Sprintf("%s is short of %s by %s: wanted %s, free %s", who, e.Type, e.format(e.Missing()), e.format(e.Wanted), e.format(e.Free))
	if e.Free < 0 {
		text += " (overcommitted)"
	}
	return text
}

// Is reports whether the shortage is of certain ports, for errors.Is with
// ErrPortTaken.
func (e *ShortageError) Is(target error) bool {
	return target == ErrPortTaken && e.Type == resource.Ports && (e.Port != 0 || e.Partition != "")
}

func (e *ShortageError) format(amount int64) string {
	return resource.FormatAmount(e.Type, e.Kind, amount)
}
