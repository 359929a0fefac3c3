package engine

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/placement"
)

const (
	// copiesMin is how many tasks of a group have to wait for a new batch to be worth it.
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
	spare    *placement.Batch // of the service that was the last to need none; often the next asks for the same
	asked    int              // places that were looked for
}

// choose finds a place for a task that waits.
func (e *Engine) choose(t *entry) (placement.Choice, error) {
	s, left := t.owner, len(t.group.waiting)
	if t.record.Retry > 0 || t.record.Claim.Agent != "" {
		return placement.Choose(&e.books, request(t))
	}
	e.copied.asked++
	if known := s.copies.batch != nil && s.copies.revision == t.record.Revision; !known {
		asked := request(t)
		if !e.makeCopies(t, asked) {
			return placement.Choose(&e.books, asked)
		}
	}
	s.copies.asked = e.copied.asked
	choice, err := s.copies.batch.Next()
	if left == 1 && err == nil {
		e.dropCopies(s)
	}
	return choice, err
}

// makeCopies makes a batch for the tasks that wait with one. It is false if they are too
// few for it, or if there is no memory for it.
func (e *Engine) makeCopies(t *entry, asked placement.Request) bool {
	of := &e.copied
	batch := of.again(asked)
	if batch == nil {
		if len(t.group.waiting) < copiesMin || !e.roomForCopies(t.owner) {
			return false
		}
		if batch = of.again(asked); batch == nil {
			batch = placement.NewBatch(&e.books, asked)
		}
	}
	e.dropCopies(t.owner)
	of.services = append(of.services, t.owner)
	t.owner.copies = copies{batch: batch, revision: t.record.Revision}
	return true
}

// again returns the spare batch if it serves a request, else nil.
func (of *copied) again(asked placement.Request) *placement.Batch {
	batch := of.spare
	if batch == nil || !batch.Again(asked) {
		return nil
	}
	of.spare = nil
	return batch
}

// roomForCopies makes room in memory for the batch of a service. It is false if all that
// there are were asked not long ago.
func (e *Engine) roomForCopies(s *service) bool {
	e.dropCopies(s)
	of := &e.copied
	n := len(of.services)
	if n == 0 || (n+1)*e.books.Slots() <= seatsMax {
		return true
	}
	idlest := slices.MinFunc(of.services, func(a, b *service) int { return cmp.Compare(a.copies.asked, b.copies.asked) })
	if of.asked-idlest.copies.asked < n*idleMax {
		return false
	}
	e.dropCopies(idlest)
	return true
}

// dropCopies forgets the batch of a service.
func (e *Engine) dropCopies(s *service) {
	if s.copies.batch != nil {
		e.copied.spare, s.copies = s.copies.batch, copies{}
		e.copied.services = slices.DeleteFunc(e.copied.services, func(other *service) bool { return other == s })
	}
}
