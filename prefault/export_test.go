//go:build linux

package prefault

// From and To are where the heap began, and where what is asked for of it ends.
var From, To = heap()

// Populate asks for the memory between two addresses.
func Populate(from, to uintptr) error { return populate(from, to) }
