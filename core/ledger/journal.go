package ledger

// journalMax is how many changes are remembered. Who is further behind reads all
// agents again.
const journalMax = 1 << 14

// journal remembers whose accounts changed last.
type journal struct {
	slots []int32 // of change n at n modulo journalMax
	count int
}

// changed notes that an agent's account is another: what is free, or who it is.
func (l *Ledger) changed(a *account) {
	j := &l.journal
	if len(j.slots) < journalMax {
		j.slots = append(j.slots, a.slot)
	} else {
		j.slots[j.count%journalMax] = a.slot
	}
	j.count++
}

// Changes returns how many changes of agents there have been, so that who keeps
// something of them can learn what to read again.
func (l *Ledger) Changes() int { return l.journal.count }

// Changed returns the slot of the agent that a change was of. It is false if the
// change was too long ago.
func (l *Ledger) Changed(change int) (slot int, known bool) {
	if change < l.journal.count-journalMax {
		return 0, false
	}
	return int(l.journal.slots[change%journalMax]), true
}

// Finder returns what somebody keeps with the books to find things in them fast,
// and sets it first if there is nothing. It goes with the books, and not into their
// copies.
func (l *Ledger) Finder(first func() any) any {
	if l.finder == nil {
		l.finder = first()
	}
	return l.finder
}
