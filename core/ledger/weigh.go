package ledger

import (
	"math/bits"

	"github.com/aloft-run/aloft/core/resource"
)

// Weigh reports whether Fit would find room for a task on the agent, and the
// mean weight, in thousandths, of what it would take: over the amounts of each
// type first, then over the types. It allocates nothing for scalars and ports.
func (v AgentView) Weigh(wanted resource.Vector, ports []PortWish) (weight int64, fits bool) {
	sum, types, fits := v.account.weigh(wanted, ports, true)
	return sum / max(1, types), fits
}

// WeighOthers is Weigh for all but scalars. It returns the sum of the types' mean
// weights, and how many types there are.
func (v AgentView) WeighOthers(wanted resource.Vector, ports []PortWish) (sum, types int64, fits bool) {
	return v.account.weigh(wanted, ports, false)
}

func (a *account) weigh(wanted resource.Vector, ports []PortWish, scalars bool) (sum, types int64, fits bool) {
	if a.closed {
		return 0, 0, false
	}
	for t, q := range wanted.All() {
		if q.Amount() <= 0 || !scalars && q.Kind() == resource.KindScalar {
			continue
		}
		r, ok := a.row(t)
		if !ok || r.kind != q.Kind() || a.available(r) < q.Amount() {
			return 0, 0, false
		}
		if r.weight > 0 && r.kind == resource.KindScalar {
			sum, types = sum+r.weight, types+1
			continue
		}
		var m Mean
		if m.takeAll(a.shares[r.first:r.end], q); m.amount < uint64(q.Amount()) {
			return 0, 0, false
		}
		sum, types = sum+m.Weight(), types+1
	}
	if len(ports) > 0 {
		r, ok := a.row(resource.Ports)
		if !ok {
			return 0, 0, false
		}
		exact, _ := wanted.Get(resource.Ports)
		var m Mean
		if !m.takePorts(a.shares[r.first:r.end], ports, exact) {
			return 0, 0, false
		}
		sum, types = sum+m.Weight(), types+1
	}
	return sum, types, true
}

// Part is what is free of one partition of a scalar type.
type Part struct {
	Weight int64 // in thousandths
	Free   int64 // never below zero
}

// Parts appends the partitions of a type, heavier first. It is false if the agent has
// none, or they are not scalars.
func (v AgentView) Parts(list []Part, t resource.Type) ([]Part, bool) {
	r, ok := v.account.row(t)
	if !ok || r.kind != resource.KindScalar {
		return list, false
	}
	for i := r.first; i < r.end; i++ {
		s := &v.account.shares[i]
		list = append(list, Part{s.Weight, max(0, s.free.Amount())})
	}
	return list, true
}

// WeightOf returns the mean weight, in thousandths, of what a claim on the agent
// holds: over the amounts of each type first, then over the types.
func (v AgentView) WeightOf(claim Claim) int64 {
	means := make(map[resource.Type]Mean)
	for _, slice := range claim.Slices {
		s, known := v.account.share(slice.Partition)
		if !known || slice.Quantity.Amount() <= 0 {
			continue
		}
		m := means[s.Type]
		m.Add(s.Weight, slice.Quantity.Amount())
		means[s.Type] = m
	}
	var sum int64
	for _, m := range means {
		sum += m.Weight()
	}
	return sum / max(1, int64(len(means)))
}

// Mean adds up the weights of several amounts, exactly.
type Mean struct {
	high, low uint64 // of the sum of weight times amount
	amount    uint64
}

// Add adds an amount of a weight.
func (m *Mean) Add(weight, amount int64) {
	high, low := bits.Mul64(uint64(weight), uint64(amount))
	var carry uint64
	m.low, carry = bits.Add64(m.low, low, 0)
	m.high, _ = bits.Add64(m.high, high, carry)
	m.amount += uint64(amount)
}

// Weight returns the mean weight, rounded down. Something has been added.
func (m *Mean) Weight() int64 {
	quotient, _ := bits.Div64(m.high, m.low, m.amount)
	return int64(quotient)
}

// takeAll adds what Fit would take of q from the shares of its type.
func (m *Mean) takeAll(shares []share, q resource.Quantity) {
	for i := range shares {
		if q.IsZero() {
			return
		}
		part := common(q, shares[i].free)
		m.Add(shares[i].Weight, part.Amount())
		q = mustSum(q.Sub(part))
	}
}

// takePorts adds the ports that Fit would give. It is false if there are too few,
// or one that is wanted by number is not free; exact are taken already.
func (m *Mean) takePorts(shares []share, wishes []PortWish, exact resource.Quantity) bool {
	left := int64(0)
	for i, wish := range wishes {
		if wish.Number == 0 {
			left++
			continue
		}
		if exact.Has(wish.Number) || wishedBefore(wishes[:i], wish.Number) {
			return false
		}
	}
	named := int64(len(wishes)) - left
	for i := range shares {
		s := &shares[i]
		here := int64(0)
		for _, wish := range wishes {
			if wish.Number != 0 && s.free.Has(wish.Number) {
				here++
			}
		}
		give := min(left, s.free.Amount()-here-common(exact, s.free).Amount())
		m.Add(s.Weight, here+give)
		left, named = left-give, named-here
	}
	return left == 0 && named == 0
}

func wishedBefore(wishes []PortWish, number int64) bool {
	for _, wish := range wishes {
		if wish.Number == number {
			return true
		}
	}
	return false
}
