package engine

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/placement"
)

const (
	// copiesMin is how many tasks of a group have to wait for a batch to be worth it.
	copiesMin = 8
	// seatsMax bounds what the batches keep in memory, in agents, each of which takes
	// about 100 bytes in each batch.
	seatsMax = 1_000_000
	// idleMax is after how many places, for each batch that there is, one that was not
	// asked may make room for another.
	idleMax = 100
)

// copies is the batch by which tasks of one revision of a service are placed, nil
// while there is none. It changes how long placing takes, and not what is chosen.
type copies struct {
	batch    *placement.Batch
	revision id.Revision
	asked    int // by then so many places had been looked for
}

// copied is the services that have a batch.
type copied struct {
	services []*service
	asked    int // places that were looked for
}

// choose finds a place for a task that waits.
func (e *Engine) choose(t *entry) (placement.Choice, error) {
	s, left := t.owner, len(t.group.waiting)
	if t.record.Retry > 0 || t.record.Claim.Agent != "" {
		return placement.Choose(&e.books, request(t))
	}
	e.copied.asked++
	known := s.copies.batch != nil && s.copies.revision == t.record.Revision
	if !known && (left < copiesMin || !e.makeCopies(t)) {
		return placement.Choose(&e.books, request(t))
	}
	s.copies.asked = e.copied.asked
	choice, err := s.copies.batch.Next()
	if left == 1 && err == nil {
		e.dropCopies(s)
	}
	return choice, err
}

// makeCopies makes a batch for the tasks that wait with one. It is false if there is
// no memory for it.
func (e *Engine) makeCopies(t *entry) bool {
	e.dropCopies(t.owner)
	of := &e.copied
	if n := len(of.services); n > 0 && (n+1)*e.books.Slots() > seatsMax {
		idlest := slices.MinFunc(of.services, func(a, b *service) int { return cmp.Compare(a.copies.asked, b.copies.asked) })
		if of.asked-idlest.copies.asked < n*idleMax {
			return false
		}
		e.dropCopies(idlest)
	}
	of.services = append(of.services, t.owner)
	t.owner.copies = copies{batch: placement.NewBatch(&e.books, request(t)), revision: t.record.Revision}
	return true
}

// dropCopies forgets the batch of a service.
func (e *Engine) dropCopies(s *service) {
	if s.copies.batch != nil {
		s.copies = copies{}
		e.copied.services = slices.DeleteFunc(e.copied.services, func(other *service) bool { return other == s })
	}
}
