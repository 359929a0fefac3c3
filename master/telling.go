package master

import (
	"fmt"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// telling is changes as watchers get them: written once, and shared by all.
type telling struct {
	bytes []byte
	each  []toldChange // in their order
}

// toldChange is where a change ends in the bytes, and what it belongs to.
type toldChange struct {
	end     int
	service id.Service // "" of what belongs to none
}

// tell writes changes. What leaders keep for each other is left out.
func tell(changes []publishedChange) (telling, error) {
	t := telling{each: make([]toldChange, 0, len(changes))}
	for _, change := range changes {
		of := change.Record
		if of == nil {
			of = change.before
		}
		if isHidden(of) {
			continue
		}
		var err error
		if t.bytes, err = wire.AppendChange(t.bytes, change.Change); err != nil {
			return telling{}, fmt.Errorf("%s: %w", wire.StoreKey(change.Key), err)
		}
		t.each = append(t.each, toldChange{end: len(t.bytes), service: serviceOf(of)})
	}
	return t, nil
}

// isHidden reports whether a record is for leaders alone.
func isHidden(record engine.Record) bool {
	_, hidden := record.(*engine.Cluster)
	return hidden
}

// watchMessage is one message of a watch.
type watchMessage struct {
	parts    [][]byte // shared with other watchers
	revision int64
	synced   bool
}

// draft is a message of a watch that is being put together.
type draft struct {
	parts [][]byte // of changes
	size  int      // of parts
	notes []*pb.Note
}

func (d *draft) empty() bool { return d.size == 0 && len(d.notes) == 0 }

// add takes up the changes of t from that number on that belong to a service, "" for
// all, and returns the number of the first for which there was no room.
func (d *draft) add(t telling, from int, service id.Service) (next int) {
	begin := 0
	if from > 0 {
		begin = t.each[from-1].end
	}
	end := begin // of what is to be added
	for next = from; next < len(t.each) && d.size+end-begin < watchBytesMax; next++ {
		switch change := t.each[next]; {
		case service == "" || change.service == service:
			end = change.end
		default:
			d.addPart(t.bytes[begin:end])
			begin, end = change.end, change.end
		}
	}
	d.addPart(t.bytes[begin:end])
	return next
}

func (d *draft) addPart(part []byte) {
	if len(part) > 0 {
		d.parts, d.size = append(d.parts, part), d.size+len(part)
	}
}
