// Package poller tells what sockets are ready, many at a time, on a few goroutines.
//
// A goroutine for each direction of a connection costs a switch for each piece that
// comes and a read in vain before each wait. A loop has many sockets, and is told by the
// kernel which of them have something, in one call.
//
// The law: what a Source is told, and what is done by Do, is done by its loop alone, one
// after the other. So the state behind it needs no lock. It must not wait for anything.
package poller

// Events is what has become of a socket since it was last told.
type Events uint8

const (
	// Readable means that there is something to read, be it the end or an error.
	Readable Events = 1 << iota
	// Writable means that something can be written.
	Writable
	// Ending means that the other side has said its last word, or that the connection is
	// broken: it is to be read until it says so.
	Ending
)

// Source is what a loop tells of a socket. Readiness is told once: a source reads and
// writes until the kernel has no more, or asks to be called again. It may also be told
// when nothing is new.
type Source interface {
	// Ready reports whether the source wants another turn, though nothing changes,
	// when the others have had theirs.
	Ready(events Events) (again bool)
}
