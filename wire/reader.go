package wire

import (
	"bytes"

	"github.com/aloft-run/aloft/core/engine"
)

// namesMax bounds the names that a Reader remembers.
const namesMax = 100_000

// Reader reads many records of one store. What Unmarshal returns is returned by
// it, too; but a task, of which there are most, it reads in a fraction of the
// time, and names that come again and again share their memory.
//
// A Reader is not safe for concurrent use. The zero value is ready.
type Reader struct {
	names  map[string]string
	recent [64]string // of the names, by what they look like: a record has most of those of the one before
}

// Unmarshal returns the record that Marshal made value from. It keeps nothing of
// value.
func (r *Reader) Unmarshal(value []byte) (engine.Record, error) {
	if t, plain := r.task(value); plain {
		return t, nil
	}
	return Unmarshal(value) // what is not plain is read in full, and refused if it is wrong
}

// name returns a name that other records may have, too.
func (r *Reader) name(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	recent := &r.recent[(len(text)+3*int(text[0])+7*int(text[len(text)-1]))%len(r.recent)]
	if *recent == string(text) {
		return *recent
	}
	known, ok := r.names[string(text)]
	if !ok {
		if r.names == nil {
			r.names = make(map[string]string)
		}
		if known = string(text); len(r.names) < namesMax {
			r.names[known] = known
		}
	}
	*recent = known
	return known
}

// StandsAt reports whether a record stands at that key of the store.
func StandsAt(record engine.Record, storeKey []byte) bool {
	key := record.Key()
	in := folder(key.Kind)
	return len(storeKey) == len(in)+1+len(key.ID) && string(storeKey[:len(in)]) == in &&
		storeKey[len(in)] == '/' && string(storeKey[len(in)+1:]) == key.ID
}

// IsRecord reports whether a record of a kind that this version knows stands at a
// key of the store.
func IsRecord(storeKey []byte) bool {
	in, _, ok := bytes.Cut(storeKey, []byte("/"))
	for kind := engine.ClusterKind; ok && kind <= engine.TaskKind; kind++ {
		if string(in) == folder(kind) {
			return true
		}
	}
	return false
}
