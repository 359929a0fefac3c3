package master

import (
	"slices"
	"sync"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// toldMax bounds the revisions that toldSpecs remembers.
const toldMax = 1_000

// toldSpecs are what agents are told of revisions. Thousands of agents are told of the
// same one: it is made into a message once. The messages are read only. The zero value
// is ready.
type toldSpecs struct {
	mu sync.Mutex // guards of
	of map[*engine.Revision]toldSpec
}

// toldSpec is a revision as messages have it.
type toldSpec struct {
	revision  *pb.RevisionSpec
	resources []*pb.Quantity // that a task asks for beside its ports, if these are amounts of more than nothing
}

// get returns what is told of a revision.
func (t *toldSpecs) get(rev *engine.Revision) toldSpec {
	t.mu.Lock()
	defer t.mu.Unlock()
	told, known := t.of[rev]
	if known {
		return told
	}
	if t.of == nil || len(t.of) >= toldMax {
		t.of = make(map[*engine.Revision]toldSpec)
	}
	spec := wire.FromSpec(rev.Spec)
	told.revision = &pb.RevisionSpec{Service: string(rev.Service), Revision: int64(rev.Number), Spec: spec}
	if !slices.ContainsFunc(spec.GetResources(), func(q *pb.Quantity) bool { return q.GetScalar() <= 0 }) {
		told.resources = spec.GetResources()
	}
	t.of[rev] = told
	return told
}
