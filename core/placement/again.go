package placement

import (
	"slices"

	"github.com/aloft-run/aloft/core/spec"
)

// Again has a batch that is done with its request find places for copies of another
// one, in much less time than a new batch takes. It is false if the two do not ask for
// the same.
func (b *Batch) Again(request Request) bool {
	if !b.request.asksAlike(&request) {
		return false
	}
	b.upset = b.upset || len(b.counted) > len(b.seats)/staleMost
	for _, slot := range b.counted {
		switch r := &b.ratings[slot]; {
		case r.ward == nil:
		case b.upset:
			b.clear(slot)
		default:
			b.count(slot, -r.own())
		}
	}
	for _, slot := range b.counted {
		b.seats[slot].counted = false
	}
	b.counted, b.siblings = b.counted[:0], 0
	clear(b.away)
	siblings := request.Siblings
	b.request, b.request.Siblings = request, nil
	for on, n := range siblings {
		b.Count(on, n)
	}
	return true
}

// clear counts no more siblings on an agent and near it. All contests are held after.
func (b *Batch) clear(slot int32) {
	b.ratings[slot].add(-b.ratings[slot].own())
	b.touch(slot)
	for _, of := range b.ratings[slot].ward.crowds {
		of.siblings = 0
	}
	if host := b.seats[slot].host; host != nil {
		host.siblings = 0
		for _, other := range host.agents {
			b.touch(other)
		}
	}
}

// asksAlike reports whether two requests ask for the same, whoever they are of and
// whichever pools give.
func (r *Request) asksAlike(other *Request) bool {
	sameRule := func(a, b spec.Constraint) bool {
		return a.Attribute == b.Attribute && a.Operator == b.Operator && slices.Equal(a.Values, b.Values)
	}
	return r.Resources.Equal(other.Resources) && slices.Equal(r.Ports, other.Ports) && slices.EqualFunc(r.Where, other.Where, sameRule) &&
		slices.Equal(r.Spread, other.Spread)
}
