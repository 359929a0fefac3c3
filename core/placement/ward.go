package placement

import "github.com/aloft-run/aloft/core/ledger"

// ward is the agents with the same values of the first attributes to spread over:
// of none, of the first, of the first two and so on. The wards of the last
// attribute hold agents, the others wards.
type ward struct {
	contest
	parent *ward
	place  int32    // in the contest of its parent
	crowds []*crowd // of its values, the most important first
	kids   map[string]*ward
	lodged int32   // places that were given out
	spare  []int32 // of those, the ones that were given back
}

// crowd is how many siblings have one value of one attribute.
type crowd struct {
	siblings int
	wards    []*ward // whose last value it is
	agents   []int32 // of a host: their slots
}

// settle finds the best of a ward after one place in it has changed, and of the
// wards around it.
func (b *Batch) settle(w *ward, place, slot int32) {
	var changed bool
	if len(w.crowds) == b.wards && b.hosts == nil {
		changed = w.climb(place, slot, b.ratings)
	} else {
		changed = w.set(place, slot, b)
	}
	if changed && w.parent != nil {
		b.settle(w.parent, w.place, w.winner())
	}
}

// lodge gives out a place in a ward.
func (b *Batch) lodge(w *ward) int32 {
	if last := len(w.spare) - 1; last >= 0 {
		place := w.spare[last]
		w.spare = w.spare[:last]
		return place
	}
	place := w.lodged
	if w.lodged++; int(w.lodged) > w.size() {
		w.reserve(int(w.lodged))
		if b.ready {
			if w.hold(b); w.parent != nil {
				b.settle(w.parent, w.place, w.winner())
			}
		}
	}
	return place
}

// holdAll holds all contests of a ward, the inner ones first.
func (b *Batch) holdAll(w *ward) {
	for _, kid := range w.kids {
		b.holdAll(kid)
		w.enter(kid.place, kid.winner())
	}
	w.hold(b)
}

// wardOf returns the ward of an agent, which it makes if there is none.
func (b *Batch) wardOf(agent ledger.AgentView) *ward {
	w := &b.root
	for i, name := range b.names[:b.wards] {
		value, _ := attribute(agent, name)
		kid := w.kids[value]
		if kid == nil {
			of := b.crowdOf(i, value)
			kid = &ward{parent: w, place: b.lodge(w), crowds: append(w.crowds[:i:i], of)}
			of.wards = append(of.wards, kid)
			if w.kids == nil {
				w.kids = make(map[string]*ward)
			}
			w.kids[value] = kid
		}
		w = kid
	}
	return w
}

func (b *Batch) crowdOf(level int, value string) *crowd {
	of := b.crowds[level][value]
	if of == nil {
		of = new(crowd)
		b.crowds[level][value] = of
	}
	return of
}
