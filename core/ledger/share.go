package ledger

import (
	"fmt"

	"github.com/aloft-run/aloft/core/resource"
)

// share is the books of one partition.
type share struct {
	*part   // which other agents may share
	claimed resource.Quantity
	free    resource.Quantity
	total   *total
	cursor  int32 // the port that was given out last
	retired bool  // its agent no longer has it; it stays while it is claimed
}

// part is a partition, with the kind of its quantity if that is always the same.
type part struct {
	Partition
	form  resource.Kind
	fixed bool
}

func newPart(p Partition) *part {
	made := &part{Partition: p}
	if made.form, made.fixed = p.Type.Kind(); !made.fixed && !p.Quantity.IsZero() {
		made.form, made.fixed = p.Quantity.Kind(), true
	}
	return made
}

// book sets what is claimed, and with it what is free.
func (s *share) book(claimed resource.Quantity) {
	s.claimed = claimed
	if s.kind() == resource.KindScalar {
		s.free = resource.Scalar(s.Quantity.Amount() - claimed.Amount())
		return
	}
	s.free = s.Quantity.Without(claimed)
}

// kind returns the form of what the partition holds.
func (s *share) kind() resource.Kind {
	if s.fixed {
		return s.form
	}
	return s.claimed.Kind()
}

func (s *share) balance(closed bool) Balance {
	sum := Balance{Quantity: s.Quantity.Amount(), Claimed: s.claimed.Amount(), Free: s.free.Amount()}
	sum.Outside = sum.Free + sum.Claimed - sum.Quantity
	if !closed {
		sum.Available = max(0, sum.Free)
	}
	return sum
}

func (s *share) empty() bool { return s.Quantity.IsZero() && s.claimed.IsZero() }

// suits returns an error unless q could be a slice of the partition.
func (s *share) suits(q resource.Quantity) error {
	kind := s.kind()
	switch {
	case q.Amount() <= 0:
		return fmt.Errorf("%w: a slice of partition %s is not above zero", ErrInvalid, s.ID)
	case q.Kind() != kind && (s.fixed || !s.empty()):
		return fmt.Errorf("%w: a slice of partition %s is %s, want %s", ErrInvalid, s.ID, q.Kind(), kind)
	}
	return nil
}

// shortage returns what keeps the partition from giving q, or nil.
func (s *share) shortage(q resource.Quantity) *ShortageError {
	if q.FitsIn(s.free) {
		return nil
	}
	short := &ShortageError{Partition: s.ID, Type: s.Type, Kind: q.Kind(), Wanted: q.Amount(), Free: s.free.Amount()}
	if q.Kind() != resource.KindScalar {
		short.Free = q.Amount() - q.Without(s.free).Amount() // of those that are wanted
	}
	return short
}

// advance moves the cursor over those ports of given that it would have handed
// out next. Ports that were asked for by number do not move it.
func (s *share) advance(given resource.Quantity) {
	for range given.Amount() {
		next, ok := nextPort(s.free, int64(s.cursor)+1)
		if !ok || !given.Has(next) {
			return
		}
		s.cursor = int32(next)
	}
}

// nextPort returns the first port of free from the given one on, and around the
// end.
func nextPort(free resource.Quantity, from int64) (int64, bool) {
	if port, ok := free.Next(from); ok {
		return port, true
	}
	return free.Next(0)
}
