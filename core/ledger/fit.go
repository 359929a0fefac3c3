package ledger

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// PortWish is a port that a task wants under a name.
type PortWish struct {
	Name   string
	Number int64 // 0: any
}

// PortGrant is the port that a name gets.
type PortGrant struct {
	Name   string
	Number int64
}

// Fitted is how a task fits on an agent.
type Fitted struct {
	Slices []Slice     // by type, heavier partitions first
	Ports  []PortGrant // in the order of the wishes
}

// MisfitError says all that an agent lacks for a task.
type MisfitError struct {
	Agent     id.Agent
	Shortages []*ShortageError // by type, then certain ports, then other ports
}

// Error names every shortage.
func (e *MisfitError) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns the shortages.
func (e *MisfitError) Unwrap() []error {
	list := make([]error, len(e.Shortages))
	for i, short := range e.Shortages {
		list[i] = short
	}
	return list
}

// Fit cuts what a task wants out of an agent's partitions, heavier ones first,
// several if one is not enough. Of ports that may be any it takes the lowest
// free ones above the last that was given out, so that a port that was just
// given back rests for a while. Nothing is claimed.
//
// The error is a *MisfitError, or wraps ErrUnknownAgent or ErrClosed.
func (l *Ledger) Fit(agent id.Agent, wanted resource.Vector, ports []PortWish) (Fitted, error) {
	a, ok := l.agent(agent)
	switch {
	case !ok:
		return Fitted{}, fmt.Errorf("%w: %s", ErrUnknownAgent, agent)
	case a.closed:
		return Fitted{}, fmt.Errorf("%w: %s", ErrClosed, agent)
	}
	if len(ports) == 0 {
		if list, ok := a.cut(make([]Slice, 0, wanted.Len()), wanted); ok {
			return Fitted{Slices: list}, nil
		}
	}
	if len(ports) == 1 && ports[0].Number == 0 {
		if fitted, ok := a.cutOne(wanted, ports[0].Name); ok {
			return fitted, nil
		}
	}
	c := newCutter(a)
	for t, q := range wanted.All() {
		c.cut(t, q)
	}
	grants := c.grant(ports)
	if len(c.short) > 0 {
		return Fitted{}, &MisfitError{Agent: agent, Shortages: c.short}
	}
	return Fitted{Slices: c.slices(), Ports: grants}, nil
}

// Cut appends the slices that Fit would cut if no ports are wished for. It is false
// if the agent does not have all, or something other than scalars is wanted.
func (v AgentView) Cut(list []Slice, wanted resource.Vector) ([]Slice, bool) {
	if v.account.closed {
		return list, false
	}
	return v.account.cut(list, wanted)
}

func (a *account) cut(list []Slice, wanted resource.Vector) ([]Slice, bool) {
	for t, q := range wanted.All() {
		left := q.Amount()
		if left <= 0 {
			continue
		}
		r, ok := a.row(t)
		if !ok || q.Kind() != resource.KindScalar || r.kind != resource.KindScalar || a.available(r) < left {
			return list, false
		}
		for i := r.first; i < r.end && left > 0; i++ {
			if part := min(left, a.shares[i].free.Amount()); part > 0 {
				list = append(list, Slice{Partition: a.shares[i].ID, Quantity: resource.Scalar(part)})
				left -= part
			}
		}
		if left > 0 {
			return list, false
		}
	}
	return list, true
}

// cutOne is cut with one port, whichever it is. It leaves what is not usual to a cutter.
func (a *account) cutOne(wanted resource.Vector, name string) (Fitted, bool) {
	for t := range wanted.Types() {
		if t >= resource.Ports {
			return Fitted{}, false // slices are by type
		}
	}
	list, ok := a.cut(make([]Slice, 0, wanted.Len()+1), wanted)
	r, there := a.row(resource.Ports)
	if !ok || !there {
		return Fitted{}, false
	}
	for i := r.first; i < r.end; i++ {
		s := &a.shares[i]
		if port, free := nextPort(s.free, int64(s.cursor)+1); free {
			list = append(list, Slice{Partition: s.ID, Quantity: resource.Number(port)})
			return Fitted{Slices: list, Ports: []PortGrant{{name, port}}}, true
		}
	}
	return Fitted{}, false
}

// cutter is a fit in the making. Its lists run beside the agent's shares.
type cutter struct {
	agent *account
	free  []resource.Quantity
	taken []resource.Quantity
	short []*ShortageError
}

func newCutter(a *account) *cutter {
	c := &cutter{agent: a, free: make([]resource.Quantity, len(a.shares)), taken: make([]resource.Quantity, len(a.shares))}
	for i := range a.shares {
		c.free[i] = a.shares[i].free
	}
	return c
}

// take moves q from what is free of a share to what is taken.
func (c *cutter) take(i int, q resource.Quantity) {
	c.taken[i] = mustSum(c.taken[i].Add(q))
	c.free[i] = mustSum(c.free[i].Sub(q))
}

// cut takes q from the partitions of a type.
func (c *cutter) cut(t resource.Type, q resource.Quantity) {
	if q.Amount() <= 0 {
		return
	}
	left := q
	if r, ok := c.agent.row(t); ok && r.kind == q.Kind() {
		for i := r.first; i < r.end && !left.IsZero(); i++ {
			part := common(left, c.free[i])
			c.take(int(i), part)
			left = mustSum(left.Sub(part))
		}
	}
	if !left.IsZero() {
		c.lack(ShortageError{Type: t, Kind: q.Kind(), Wanted: q.Amount(), Free: q.Amount() - left.Amount()})
	}
}

// common returns as much of q as free has.
func common(q, free resource.Quantity) resource.Quantity {
	if q.Kind() == resource.KindScalar {
		return resource.Scalar(max(0, min(q.Amount(), free.Amount())))
	}
	return q.Without(q.Without(free))
}

func (c *cutter) lack(short ShortageError) {
	short.Agent = c.agent.id
	c.short = append(c.short, &short)
}

// grant finds a port for each wish: those that want a certain one choose first.
func (c *cutter) grant(wishes []PortWish) []PortGrant {
	grants := make([]PortGrant, len(wishes))
	anyPort, found := int64(0), int64(0)
	for i, wish := range wishes {
		grants[i] = PortGrant(wish)
		if wish.Number == 0 {
			anyPort++
		} else if !c.takePort(func(free resource.Quantity, _ int64) (int64, bool) { return wish.Number, free.Has(wish.Number) }, &grants[i]) {
			c.lack(ShortageError{Type: resource.Ports, Kind: resource.KindRanges, Port: wish.Number, Wanted: 1})
		}
	}
	for i, wish := range wishes {
		if wish.Number == 0 && c.takePort(nextPort, &grants[i]) {
			found++
		}
	}
	if found < anyPort {
		c.lack(ShortageError{Type: resource.Ports, Kind: resource.KindRanges, Wanted: anyPort, Free: found})
	}
	return grants
}

// takePort takes the port that choose finds in the heaviest partition that has
// one. It is given what is free of the partition and where to look from.
func (c *cutter) takePort(choose func(free resource.Quantity, from int64) (int64, bool), into *PortGrant) bool {
	r, ok := c.agent.row(resource.Ports)
	if !ok {
		return false
	}
	for i := r.first; i < r.end; i++ {
		port, ok := choose(c.free[i], int64(c.agent.shares[i].cursor)+1)
		if !ok {
			continue
		}
		c.take(int(i), resource.Number(port))
		into.Number = port
		return true
	}
	return false
}

func (c *cutter) slices() []Slice {
	var list []Slice
	for i, q := range c.taken {
		if !q.IsZero() {
			list = append(list, Slice{Partition: c.agent.shares[i].ID, Quantity: q})
		}
	}
	return list
}
