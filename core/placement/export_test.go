package placement

import "github.com/aloft-run/aloft/core/ledger"

// Sort has all requests to the books be answered from shelves, however few agents
// there are.
func Sort(books *ledger.Ledger) {
	books.Finder(func() any {
		f := newFinder()
		f.eager = true
		return f
	})
}
