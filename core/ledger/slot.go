package ledger

import "slices"

// slots number the agents, so that what somebody keeps of each can stand in a
// list. An agent keeps its slot until it is removed; then another may get it.
type slots struct {
	accounts []*account // nil for a slot that no agent has
	ranks    []uint64   // of the agents: in the order of their names
	unused   []int32
	ranked   int // how often all were ranked anew
}

// rankStep is how far apart the ranks of neighbours are at first.
const rankStep = 1 << 32

// take returns a slot that no agent has.
func (s *slots) take() int32 {
	if last := len(s.unused) - 1; last >= 0 {
		slot := s.unused[last]
		s.unused = s.unused[:last]
		return slot
	}
	s.accounts, s.ranks = append(s.accounts, nil), append(s.ranks, 0)
	return int32(len(s.accounts) - 1)
}

// give takes a slot back.
func (s *slots) give(slot int32) {
	s.accounts[slot] = nil
	s.unused = append(s.unused, slot)
}

// rank ranks an agent that has come between two others. Where there is no number
// left between theirs, all are ranked anew.
func (s *slots) rank(agents []*account, at int) {
	var before, after uint64
	if at > 0 {
		before = s.ranks[agents[at-1].slot]
	}
	if after = before + 2*rankStep; at+1 < len(agents) {
		after = s.ranks[agents[at+1].slot]
	}
	if middle := before + (after-before)/2; after > before && middle > before {
		s.ranks[agents[at].slot] = middle
		return
	}
	s.ranked++
	for i, a := range agents {
		s.ranks[a.slot] = uint64(i+1) * rankStep
	}
}

func (s *slots) clone() slots {
	return slots{make([]*account, len(s.accounts)), slices.Clone(s.ranks), slices.Clone(s.unused), s.ranked}
}

// Slot returns the number of the agent among those of its ledger, below Slots.
func (v AgentView) Slot() int { return int(v.account.slot) }

// Slots returns how many slots there are.
func (l *Ledger) Slots() int { return len(l.slots.accounts) }

// AgentAt returns the books of the agent that has a slot. It is false if none has. Who
// asks for the agent by its name next finds it at once.
func (l *Ledger) AgentAt(slot int) (AgentView, bool) {
	a := l.slots.accounts[slot]
	if a != nil {
		l.recent = a
	}
	return AgentView{a}, a != nil
}

// Ranks returns for each slot a number that puts the agents in the order of their
// names. It is the ledger's own, and good until an agent is added.
func (l *Ledger) Ranks() []uint64 { return l.slots.ranks }

// Ranked returns how often all agents were ranked anew. Otherwise an agent keeps its
// rank when another is added.
func (l *Ledger) Ranked() int { return l.slots.ranked }
