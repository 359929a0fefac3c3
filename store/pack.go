package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// packBytes is how large a pack grows before the next one begins. A larger value has a
// pair of etcd's of its own, unless an earlier one of its key was packed.
const packBytes = 64 << 10

// What a pack is of begins it: operations of a commit, or what was worth keeping of older
// packs, which says nothing new.
const (
	packWritten = 'w'
	packMoved   = 'm'
)

var errNoPack = errors.New("a pack is not as this program knows it")

// entry is what a pack says of one of its keys. One that was deleted has no Value, any
// other has one that is not nil.
type entry struct{ Pair }

func (e entry) deleted() bool { return e.Value == nil }

// pack is what stands under one name.
type pack struct {
	name    string
	value   []byte
	entries []entry
	digests []digest
	number  place
}

// packName is that of a pack: later ones have larger names, in this term and after it.
func packName(epoch uint64, commit string, part int) string {
	return fmt.Sprintf("%016x%s%04x", epoch, commit, part)
}

// appendEntry adds to a pack what becomes of a key: its length and whether it is
// deleted, the key, and unless it is the length of the value, and that.
func appendEntry(pack []byte, op Op) []byte {
	head := uint64(len(op.Key)) << 1
	if op.Delete {
		pack = binary.AppendUvarint(pack, head|1)
		return append(pack, op.Key...)
	}
	pack = binary.AppendUvarint(pack, head)
	pack = append(pack, op.Key...)
	pack = binary.AppendUvarint(pack, uint64(len(op.Value)))
	return append(pack, op.Value...)
}

// entriesOf reads a pack, without copying it, and says whether its entries were moved.
func entriesOf(pack []byte) (entries []entry, moved bool, err error) {
	if len(pack) == 0 || pack[0] != packWritten && pack[0] != packMoved {
		return nil, false, errNoPack
	}
	moved, pack = pack[0] == packMoved, pack[1:]
	entries = make([]entry, 0, len(pack)/200+1)
	for len(pack) > 0 {
		var e entry
		head, n := binary.Uvarint(pack)
		if e.Key, pack, err = cut(pack, head>>1, n); err != nil {
			return nil, false, err
		}
		if head&1 == 0 {
			size, n := binary.Uvarint(pack)
			if e.Value, pack, err = cut(pack, size, n); err != nil {
				return nil, false, err
			}
		}
		entries = append(entries, e)
	}
	return entries, moved, nil
}

// cut takes so many bytes that come after a number of n bytes.
func cut(pack []byte, size uint64, n int) (taken, rest []byte, err error) {
	if n <= 0 || size > uint64(len(pack)-n) {
		return nil, nil, errNoPack
	}
	end := n + int(size)
	return pack[n:end:end], pack[end:], nil
}
