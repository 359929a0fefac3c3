package ledger

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/aloft-run/aloft/core/resource"
)

// Balance is the account of one resource type, in its smallest unit or, for
// ranges and sets, in how many numbers or members there are. Free and Claimed
// add up to Quantity and Outside.
type Balance struct {
	Quantity  int64 // what there is
	Claimed   int64 // what tasks hold
	Outside   int64 // of Claimed: numbers and members that the quantity has lost since
	Free      int64 // what is not claimed; below zero when scalars are overcommitted
	Available int64 // of Free: what new claims may take; none where that is below zero or closed
}

// Overcommitted reports whether more is claimed than there is.
func (b Balance) Overcommitted() bool { return b.Free < 0 || b.Outside > 0 }

func (b Balance) plus(other Balance) Balance {
	b.add(other)
	return b
}

// add adds another account to b.
func (b *Balance) add(other Balance) {
	b.Quantity += other.Quantity
	b.Claimed += other.Claimed
	b.Outside += other.Outside
	b.Free += other.Free
	b.Available += other.Available
}

func (b Balance) minus(other Balance) Balance {
	return b.plus(Balance{-other.Quantity, -other.Claimed, -other.Outside, -other.Free, -other.Available})
}

// total is the account of one type over all agents.
type total struct {
	Balance
	shares  int    // how many partitions have the type
	weights []heft // by weight
}

// heft is what is available of partitions of one weight, never nothing.
type heft struct {
	weight, available int64
}

func (l *Ledger) total(t resource.Type) *total {
	if sum, ok := l.totals[t]; ok {
		return sum
	}
	if l.totals == nil {
		l.totals = make(map[resource.Type]*total)
	}
	sum := new(total)
	l.totals[t] = sum
	return sum
}

// change books a partition's change of balance.
func (t *total) change(weight int64, by Balance) {
	t.Quantity += by.Quantity
	t.Claimed += by.Claimed
	t.Outside += by.Outside
	t.Free += by.Free
	t.avail(weight, by.Available)
}

// avail books a change of what is available of partitions of a weight.
func (t *total) avail(weight, by int64) {
	t.Available += by
	switch {
	case by == 0:
		return
	case len(t.weights) == 1 && t.weights[0].weight == weight && t.weights[0].available != -by:
		t.weights[0].available += by // it is mostly so
		return
	}
	at, found := slices.BinarySearchFunc(t.weights, weight, func(h heft, weight int64) int { return cmp.Compare(h.weight, weight) })
	if !found {
		t.weights = slices.Insert(t.weights, at, heft{weight, by})
		return
	}
	if t.weights[at].available += by; t.weights[at].available == 0 {
		t.weights = slices.Delete(t.weights, at, at+1)
	}
}

// R returns the weighted capacity of a type: the sum over partitions of weight
// times what is available, in the type's smallest unit. The sum is exact until it
// is rounded to a float64, and takes time by the number of different weights
// only.
func (l *Ledger) R(t resource.Type) float64 {
	sum, ok := l.totals[t]
	if !ok {
		return 0
	}
	var high, low uint64
	for _, h := range sum.weights {
		upper, lower := bits.Mul64(uint64(h.weight), uint64(h.available))
		var carry uint64
		low, carry = bits.Add64(low, lower, 0)
		high, _ = bits.Add64(high, upper, carry)
	}
	return (float64(high)*(1<<64) + float64(low)) / WeightOne
}

// Total returns how much of a type all agents have together.
func (l *Ledger) Total(t resource.Type) int64 { return l.Balance(t).Quantity }

// Free returns how much of a type is not claimed, on all agents together. New
// claims may take less: see Balance.Available.
func (l *Ledger) Free(t resource.Type) int64 { return l.Balance(t).Free }

// Balance returns the account of a type over all agents.
func (l *Ledger) Balance(t resource.Type) Balance {
	if sum, ok := l.totals[t]; ok {
		return sum.Balance
	}
	return Balance{}
}
