package ledger

import (
	"fmt"
	"math"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Slice is a part of one partition. It is of the partition's type.
type Slice struct {
	Partition id.Partition
	Quantity  resource.Quantity
}

// Claim is what one task holds: slices of one agent, and as much of a pool.
type Claim struct {
	Task   id.Task
	Agent  id.Agent
	Pool   id.Pool // "" if it draws from none
	Slices []Slice // each of another partition, none empty
}

// Claim books a claim whole, or refuses and changes nothing. The error is a
// *ShortageError, or wraps ErrAlreadyHeld, ErrUnknownAgent, ErrUnknownPool,
// ErrUnknownPartition, ErrClosed, ErrPortTaken or ErrInvalid.
//
// The books keep the list of slices that they are given, which several claims may
// share: nobody changes it from then on.
func (l *Ledger) Claim(claim Claim) error {
	e, err := l.entry(&claim)
	if err != nil {
		return fmt.Errorf("claim for task %s: %w", claim.Task, err)
	}
	if e.agent.closed {
		return fmt.Errorf("claim for task %s: %w: %s", claim.Task, ErrClosed, claim.Agent)
	}
	for i, s := range e.shares {
		if short := s.shortage(claim.Slices[i].Quantity); short != nil {
			short.Agent = claim.Agent
			return fmt.Errorf("claim for task %s: %w", claim.Task, short)
		}
	}
	if e.pool != nil {
		if short := e.pool.shortage(e.needs); short != nil {
			return fmt.Errorf("claim for task %s: %w", claim.Task, short)
		}
	}
	l.book(&claim, e)
	return nil
}

// Reserve makes room in books that are empty for so many claims.
func (l *Ledger) Reserve(claims int) { l.claims.reserve(claims) }

// Restore books a claim that was granted before, when a new leader loads the
// cluster: agents that are closed, and agents and pools that have become too
// small since, take it all the same and are overcommitted. It still refuses
// what no books could have held; the errors are those of Claim.
func (l *Ledger) Restore(claim Claim) error {
	e, err := l.entry(&claim)
	if err != nil {
		return fmt.Errorf("restore the claim of task %s: %w", claim.Task, err)
	}
	for i, s := range e.shares {
		q := claim.Slices[i].Quantity
		if q.Kind() == resource.KindScalar {
			continue // of which there are no two that are the same
		}
		if heldTwice(e.agent.shares, s, q) || e.doubles(claim.Slices, i) {
			return fmt.Errorf("restore the claim of task %s: %w", claim.Task, &ShortageError{
				Agent: claim.Agent, Partition: s.ID, Type: s.Type, Kind: q.Kind(), Wanted: q.Amount(),
				Free: q.Without(s.claimed).Amount(),
			})
		}
	}
	l.book(&claim, e)
	return nil
}

// heldTwice reports whether another task holds some of q, or another partition
// than own has it.
func heldTwice(shares []share, own *share, q resource.Quantity) bool {
	for i := range shares {
		s := &shares[i]
		if s.Type == own.Type && (q.Meets(s.claimed) || s != own && q.Meets(s.Quantity)) {
			return true
		}
	}
	return false
}

// doubles reports whether a slice has something in common with one before it.
func (e *entry) doubles(cut []Slice, slice int) bool {
	for i, s := range e.shares[:slice] {
		if s.Type == e.shares[slice].Type && cut[i].Quantity.Meets(cut[slice].Quantity) {
			return true
		}
	}
	return false
}

// entry is the accounts that a claim touches. It is valid until the next claim.
type entry struct {
	agent  *account
	pool   *poolAccount // nil for none
	shares []*share     // one for each slice
	needs  []need       // of the pool: the slices added up by type
	at     int          // where the claim is to be found
	hash   uint32       // of its task
}

// entry finds the accounts for a claim. It refuses what is wrong however much
// is free.
func (l *Ledger) entry(claim *Claim) (*entry, error) {
	e := &l.entered
	e.pool, e.shares, e.needs = nil, e.shares[:0], e.needs[:0]
	if err := id.Check(claim.Task); err != nil {
		return e, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var held, ok bool
	if e.at, e.hash, held = l.claims.find(claim.Task); held {
		return e, ErrAlreadyHeld
	}
	if e.agent, ok = l.agent(claim.Agent); !ok {
		return e, fmt.Errorf("%w: %s", ErrUnknownAgent, claim.Agent)
	}
	if claim.Pool != "" {
		if e.pool, _, ok = l.pool(claim.Pool); !ok {
			return e, fmt.Errorf("%w: %s", ErrUnknownPool, claim.Pool)
		}
	}
	for i := range claim.Slices {
		slice := &claim.Slices[i]
		s, ok := e.agent.share(slice.Partition)
		if !ok {
			return e, fmt.Errorf("%w: %s of agent %s", ErrUnknownPartition, slice.Partition, claim.Agent)
		}
		if err := s.suits(slice.Quantity); err != nil {
			return e, err
		}
		if slices.Contains(e.shares, s) {
			return e, fmt.Errorf("%w: two slices of partition %s", ErrInvalid, slice.Partition)
		}
		e.shares = append(e.shares, s)
		if e.pool != nil {
			e.needs = addNeed(e.needs, need{s.Type, slice.Quantity.Kind(), slice.Quantity.Amount()})
		}
		if err := e.countable(claim.Slices[:i+1]); err != nil {
			return e, err
		}
	}
	return e, nil
}

// countable returns an error if the cluster's claims would exceed 64 bits with the
// last of several slices. Only claims that are restored can.
func (e *entry) countable(cut []Slice) error {
	const few, little = 32, 1 << 57 // so many of so much are never too much
	last := e.shares[len(cut)-1]
	if len(cut) <= few && last.total.Claimed|cut[len(cut)-1].Quantity.Amount() < little {
		return nil
	}
	left := math.MaxInt64 - last.total.Claimed
	for i, s := range e.shares {
		if s.total != last.total {
			continue
		}
		if left -= cut[i].Quantity.Amount(); left < 0 {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, s.Type, resource.ErrOverflow)
		}
	}
	return nil
}

// book moves what a claim takes from free to claimed.
func (l *Ledger) book(claim *Claim, e *entry) {
	for i, s := range e.shares {
		switch q := claim.Slices[i].Quantity; q.Kind() {
		case resource.KindScalar:
			take(e.agent, s, q.Amount())
		default:
			if s.Type == resource.Ports {
				s.advance(q)
			}
			rebook(e.agent, s, mustSum(s.claimed.Add(q)))
		}
	}
	if e.pool != nil {
		e.pool.claims++
		for _, n := range e.needs {
			e.pool.used = addNeed(e.pool.used, n)
		}
	}
	own := held{task: claim.Task, slices: claim.Slices, slot: e.agent.slot}
	if e.pool != nil {
		own.pool = e.pool.number
	}
	e.agent.claims = append(e.agent.claims, l.claims.add(own, e.at, e.hash))
	l.changed(e.agent)
}

// take claims so much of a partition of scalars, or gives back what is below zero: in
// its own account and the cluster's. It is what rebook does, in less time.
func take(a *account, s *share, amount int64) {
	before := s.free.Amount()
	after := before - amount
	s.claimed, s.free = resource.Scalar(s.claimed.Amount()+amount), resource.Scalar(after)
	s.total.Claimed += amount
	s.total.Free -= amount
	if !a.closed {
		s.total.avail(s.Weight, max(0, after)-max(0, before))
	}
}

// rebook sets what is claimed of a partition, in its own account and the cluster's.
func rebook(a *account, s *share, claimed resource.Quantity) {
	before := s.balance(a.closed)
	s.book(claimed)
	by := s.balance(a.closed).minus(before)
	s.total.change(s.Weight, by)
}

// mustSum returns a sum that the laws of the books make possible.
func mustSum(sum resource.Quantity, err error) resource.Quantity {
	if err != nil {
		panic(fmt.Sprintf("ledger: the books are broken: %v", err))
	}
	return sum
}

// Release gives back what a task holds and returns it. It is false, and nothing
// changes, if the task holds nothing.
func (l *Ledger) Release(task id.Task) (Claim, bool) {
	at, _, held := l.claims.find(task)
	if !held {
		return Claim{}, false
	}
	own, cell := l.claims.drop(at)
	a := l.slots.accounts[own.slot]
	a.drop(cell)
	claim := l.claims.claim(&own, a.id)
	pool, _, pooled := l.pool(claim.Pool)
	if pooled {
		pool.claims--
	}
	gone := false
	for _, slice := range claim.Slices {
		s, _ := a.share(slice.Partition)
		if q := slice.Quantity; q.Kind() == resource.KindScalar {
			take(a, s, -q.Amount())
		} else {
			rebook(a, s, mustSum(s.claimed.Sub(q)))
		}
		if pooled {
			pool.used = addNeed(pool.used, need{s.Type, slice.Quantity.Kind(), -slice.Quantity.Amount()})
		}
		gone = gone || s.retired && s.claimed.IsZero()
	}
	if gone {
		l.dropRetired(a)
	}
	l.changed(a)
	return claim, true
}

// dropRetired forgets the partitions that an agent no longer has and that
// nobody claims.
func (l *Ledger) dropRetired(a *account) {
	l.detach(a)
	a.shares = slices.DeleteFunc(a.shares, func(s share) bool { return s.retired && s.claimed.IsZero() })
	l.rule(a)
	l.attach(a)
}
