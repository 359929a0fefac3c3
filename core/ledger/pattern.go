package ledger

import (
	"slices"

	"github.com/aloft-run/aloft/core/resource"
)

// Pattern weighs and cuts agents for what many tasks want alike, as AgentView does. What
// it learns of one agent holds for all with the same rows, as long as each type is in one
// partition: then it looks at little more than what is free there.
type Pattern struct {
	wanted   resource.Vector
	dominant resource.Type // of which is told what would be left
	dose     int64
	rows     *rows // of the agents that the steps are for
	known    bool
	steps    []step
	leading  int // the step of the dominant type, below zero if there is none
	weight   int64
	list     []Slice // as it was cut last; many claims share it
	number   int32   // of the list: another one has another number
	room     []Slice
}

// step is what is taken of one share.
type step struct {
	share  int32
	amount int64
}

// Fitting is how tasks fit on an agent.
type Fitting struct {
	Weight int64 // as of AgentView.Weigh
	Left   int64 // what would be left of the dominant type
	Fits   bool
	Cut    int32 // for Pattern.List; 0: not known
}

// NewPattern returns a pattern for what tasks want, and the type of which they want to
// know how much would be left, or "".
func NewPattern(wanted resource.Vector, dominant resource.Type) *Pattern {
	q, _ := wanted.Get(dominant)
	return &Pattern{wanted: wanted, dominant: dominant, dose: q.Amount()}
}

// Dominant returns the type of which the pattern tells what would be left.
func (p *Pattern) Dominant() resource.Type { return p.dominant }

// Weigh is AgentView.Weigh, and tells more.
func (p *Pattern) Weigh(v AgentView, ports []PortWish) (f Fitting) {
	a := v.account
	if len(ports) > 0 || !p.matches(a) {
		if f.Weight, f.Fits = v.Weigh(p.wanted, ports); f.Fits && p.dominant != "" {
			f.Left = v.Available(p.dominant) - p.dose
		}
		return f
	}
	if a.closed || !p.within(a) {
		return f
	}
	if f.Weight, f.Fits = p.weight, true; p.leading >= 0 {
		f.Left = a.shares[p.steps[p.leading].share].free.Amount() - p.dose
	}
	if p.number == 0 {
		p.Cut(v)
	}
	if p.isCutAlike(a) {
		f.Cut = p.number
	}
	return f
}

// List returns the slices that Cut would cut of an agent that was weighed, and did not
// change. It is false if they are not known any more.
func (p *Pattern) List(cut int32) ([]Slice, bool) { return p.list, cut != 0 && cut == p.number }

// Cut is AgentView.Cut. Who gets the same slices one after the other shares them.
func (p *Pattern) Cut(v AgentView) ([]Slice, bool) {
	room, ok := v.Cut(p.room[:0], p.wanted)
	if p.room = room; !ok {
		return nil, false
	}
	if p.number == 0 || !slices.Equal(room, p.list) {
		p.list = slices.Clone(room)
		p.number++
	}
	return p.list, true
}

// within reports whether each share has what is taken of it.
func (p *Pattern) within(a *account) bool {
	for i := range p.steps {
		if s := &p.steps[i]; a.shares[s.share].free.Amount() < s.amount {
			return false
		}
	}
	return true
}

// isCutAlike reports whether what would be cut, which is known, is the list that was cut
// last.
func (p *Pattern) isCutAlike(a *account) bool {
	if len(p.list) != len(p.steps) {
		return false
	}
	for i := range p.steps {
		s, cut := &p.steps[i], &p.list[i]
		if a.shares[s.share].ID != cut.Partition || cut.Quantity.Amount() != s.amount {
			return false
		}
	}
	return true
}

// matches reports whether the steps are known for an agent.
func (p *Pattern) matches(a *account) bool {
	if a.rows != p.rows {
		p.learn(a)
	}
	return p.known
}

// learn finds out what is taken of agents with the same rows.
func (p *Pattern) learn(a *account) {
	p.rows, p.known, p.leading, p.steps = a.rows, false, -1, p.steps[:0]
	var sum, types int64
	for t, q := range p.wanted.All() {
		if q.Amount() <= 0 {
			continue
		}
		r, there := a.row(t)
		if !there || r.kind != resource.KindScalar || q.Kind() != resource.KindScalar || r.end-r.first != 1 {
			return
		}
		if t == p.dominant {
			p.leading = len(p.steps)
		}
		p.steps = append(p.steps, step{r.first, q.Amount()})
		sum, types = sum+r.weight, types+1
	}
	p.weight, p.known = sum/max(1, types), p.dominant == "" || p.leading >= 0
}
