package engine

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ordered"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// groupKey is what the tasks of a group have in common.
type groupKey struct {
	service  id.Service
	revision id.Revision
	only     id.Agent // of a daemon, or of what follows an instance that moves
}

// group is the tasks of one revision that wait for a place. They ask for the same:
// when the first has no place, none has.
type group struct {
	key      groupKey
	owner    *service
	spec     *spec.Spec
	priority int       // of its highest pool
	waiting  []*entry  // oldest first
	since    time.Time // the age of the first, by which the group stands in the queue
	cell     *cell     // in which it stands; nil for one of a service or daemon
	aside    bool      // it was refused a place in this pass, if it is of a service or daemon
	refusal  error     // why there is no place; nil if none was looked for
	toldAt   time.Time
}

// shape is what jobs ask for, as far as it decides whether there is a place: when
// one task of a shape has none, none has.
type shape struct {
	key      string
	cells    int
	pass     int       // in which it was refused a place
	refusal  error     // why
	placedAt time.Time // the newest that was given a place while others waited
}

// cell is the groups of one shape and one account.
type cell struct {
	key    cellKey
	groups *ordered.Set[*group]
	first  *group // by which the cell stands in its line
	aside  bool   // it stands among those that were refused
}

type cellKey struct {
	shape   *shape
	account fairshare.Account
}

// compareAges orders groups by the age of their first tasks.
func compareAges(a, b *group) int {
	return cmp.Or(
		a.since.Compare(b.since),
		cmp.Compare(a.key.service, b.key.service),
		cmp.Compare(a.key.revision, b.key.revision),
		cmp.Compare(a.key.only, b.key.only),
	)
}

// compareServices orders the groups of services and daemons.
func compareServices(a, b *group) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), compareAges(a, b))
}

func compareCells(a, b *cell) int { return compareAges(a.first, b.first) }

// ofJobs reports whether the group waits in the fair part of the queue.
func (g *group) ofJobs() bool { return g.spec.RunsToCompletion() }

// add puts a task where it belongs by its age.
func (g *group) add(t *entry) {
	at := len(g.waiting)
	if at > 0 && compareEntries(g.waiting[at-1], t) > 0 {
		at, _ = slices.BinarySearchFunc(g.waiting, t, compareEntries)
	}
	g.waiting = slices.Insert(g.waiting, at, t)
}

// remove takes a task out. Tasks leave from the front as a rule, and then none
// moves up.
func (g *group) remove(t *entry) {
	switch at, found := slices.BinarySearchFunc(g.waiting, t, compareEntries); {
	case !found:
	case at == 0:
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
	default:
		g.waiting = slices.Delete(g.waiting, at, at+1)
	}
}

// reason says in words why there is no place, "" if that is not known.
func (g *group) reason() string {
	if g.refusal == nil {
		return ""
	}
	return g.refusal.Error()
}

// shapeKey writes down what a job asks for, as far as it decides whether there is a
// place, and for how long.
func shapeKey(s *spec.Spec) string {
	var key []byte
	text := func(part string) { key = append(append(key, part...), 0) }
	for _, pool := range s.Pools {
		text(string(pool))
	}
	text("")
	for of, q := range s.Resources.All() {
		text(string(of))
		text(resource.Format(of, q))
	}
	text("")
	for _, port := range s.Ports {
		text(strconv.Itoa(port.Number))
	}
	text("")
	for i := range s.Placement.Where {
		text(s.Placement.Where[i].String())
	}
	text("")
	return string(strconv.AppendInt(key, int64(s.Timeout), 10))
}
