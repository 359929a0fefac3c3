// Package poller tells what sockets are ready, many at a time, on a few threads.
//
// A goroutine for each direction of a connection costs a switch for each piece that comes.
// A Loop has many sockets, and hands that are told by the kernel which of them have something.
// A Conn is a connection whose socket it has, for goroutines and for strands.
//
// The law: any hand may tell a Source, also several at once. It must not wait for anything,
// for a hand has others to tell; a Strand waits for its sockets, and detaches before it may
// have to wait for anything else.
package poller

// Events is what has become of a socket since it was last told.
type Events uint8

const (
	// Readable means that there is something to read, be it the end or an error.
	Readable Events = 1 << iota
	// Writable means that something can be written.
	Writable
	// Ending means that the other side has said its last word or something urgent, at which a
	// read stops short, or that the connection is broken: it is to be read until nothing comes.
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

// Glance reads what a goroutine waits for, in the loop, and reports whether that is enough
// for it to go on. At the end, or where something urgent came, all must be read; else a read that
// gets less than it asks for is the last that gets anything. It must not wait.
type Glance func(fd int, ending bool) (enough bool)
