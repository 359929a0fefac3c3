package master

import (
	"slices"
	"sync"

	"github.com/aloft-run/aloft/core/engine"
)

// namesChunk is how many records are looked up at a time: a reader that goes through
// all of a large cluster lets publications pass in between.
const namesChunk = 1024

// names are the names of one kind of records in their order, for pages and watches:
// to sort all of them for each page would take longer than all else. Names that are
// new are only noted, so that a publication costs nothing; the next reader sorts them
// in. Names of what has gone stay until they are the half of all.
type names struct {
	mu     sync.Mutex // guards all below
	sorted []string   // never changed, but replaced
	added  []string   // since, in any order
	gone   int        // how many of all may have gone
}

// add takes note of a name that is new.
func (n *names) add(name string) {
	n.mu.Lock()
	n.added = append(n.added, name)
	n.mu.Unlock()
}

// remove takes note that a name has gone.
func (n *names) remove() {
	n.mu.Lock()
	n.gone++
	n.mu.Unlock()
}

// all returns all names in their order, each once; some may have gone. exists
// tells which of them have not.
func (n *names) all(exists func(name string) bool) []string {
	n.mu.Lock()
	sorted, added := n.sorted, n.added
	stale := n.gone > (len(sorted)+len(added))/2
	n.mu.Unlock()
	if len(added) == 0 && !stale {
		return sorted
	}
	merged := merge(sorted, slices.Sorted(slices.Values(added)))
	if stale {
		merged = slices.DeleteFunc(merged, func(name string) bool { return !exists(name) })
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.sorted) == len(sorted) && (len(sorted) == 0 || &n.sorted[0] == &sorted[0]) { // else another reader was faster
		n.sorted, n.added = merged, slices.Clone(n.added[len(added):])
		if stale {
			n.gone = 0
		}
	}
	return merged
}

// merge returns the names of two sorted lists, each once.
func merge(a, b []string) []string {
	both := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			both, a = append(both, a[0]), a[1:]
		} else {
			both, b = append(both, b[0]), b[1:]
		}
	}
	return slices.Compact(append(append(both, a...), b...))
}

// namesOf returns the names of one kind in their order; some may have gone.
func (v *view) namesOf(kind engine.Kind) []string {
	return v.names[kind].all(func(name string) bool {
		v.mu.RLock()
		defer v.mu.RUnlock()
		_, there := v.kinds[kind][name]
		return there
	})
}

// after returns the records of a kind that pass keep, in the order of their names
// and from the first after a name on: one more than most, if there are so many.
func after[R engine.Record](v *view, kind engine.Kind, name string, most int, keep func(R) bool) []R {
	all := v.namesOf(kind)
	first, exact := slices.BinarySearch(all, name)
	if exact {
		first++
	}
	rest := all[first:]
	list := make([]R, 0, min(most+1, len(rest)))
	for chunk := range slices.Chunk(rest, namesChunk) {
		v.mu.RLock()
		for _, name := range chunk {
			if r, ok := v.kinds[kind][name].(R); ok && len(list) <= most && keep(r) {
				list = append(list, r)
			}
		}
		v.mu.RUnlock()
		if len(list) > most {
			break
		}
	}
	return list
}
