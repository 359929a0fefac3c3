package store

import (
	"errors"
	"fmt"
	"iter"
)

// opOverheadBytes is what an operation weighs beside its key and value: the
// prefix of its key and the framing of the request.
const opOverheadBytes = 64

// Limits bound one transaction. A field that is not positive means the default.
type Limits struct {
	Ops   int // operations
	Bytes int // keys, values and a small overhead for each operation
	// Packed is from how many operations on the new keys of a transaction share pairs of
	// etcd's: for each pair etcd keeps an entry of its index in memory, and writes a page
	// of its file again.
	Packed int
}

// etcd's own limits are 128 operations and 1.5 MiB for the whole request, of
// which the fence takes one and a little. The embedded member is set higher.
const (
	outsideOps, outsideBytes   = 127, 3<<19 - 8<<10
	embeddedOps, embeddedBytes = 8_000, 12 << 20
)

const packedFrom = 64

func (l Limits) withDefaults(defaults Limits) Limits {
	if l.Ops <= 0 {
		l.Ops = defaults.Ops
	}
	if l.Bytes <= 0 {
		l.Bytes = defaults.Bytes
	}
	if l.Packed <= 0 {
		l.Packed = packedFrom
	}
	return l
}

func (op Op) bytes() int { return len(op.Key) + len(op.Value) + opOverheadBytes }

// check refuses what no transaction could hold, before anything is written.
func check(ops []Op, limits Limits) error {
	for _, op := range ops {
		if op.Key == "" {
			return errors.New("an operation has no key")
		}
		if n := op.bytes(); n > limits.Bytes {
			return fmt.Errorf("%w: key %q takes %d bytes of at most %d", ErrTooLarge, op.Key, n, limits.Bytes)
		}
	}
	return nil
}

// parts cuts ops in order into runs that fit one transaction each.
func parts(ops []Op, limits Limits) iter.Seq[[]Op] {
	return func(yield func([]Op) bool) {
		begin, size := 0, 0
		for i, op := range ops {
			if i-begin == limits.Ops || size+op.bytes() > limits.Bytes {
				if !yield(ops[begin:i]) {
					return
				}
				begin, size = i, 0
			}
			size += op.bytes()
		}
		if begin < len(ops) {
			yield(ops[begin:])
		}
	}
}

// lastOfEachKey drops the operations that a later one of the same key undoes:
// etcd refuses two writes of one key in a transaction, and only the last counts.
func lastOfEachKey(ops []Op) []Op {
	last := make(map[string]int, len(ops))
	for i, op := range ops {
		last[op.Key] = i
	}
	if len(last) == len(ops) {
		return ops
	}
	kept := make([]Op, 0, len(last))
	for i, op := range ops {
		if last[op.Key] == i {
			kept = append(kept, op)
		}
	}
	return kept
}
