package wire

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Lists and watches are mostly tasks, and each is read again and again. The functions
// of this file write the long part of such an answer without messages in between; what
// else it says is appended to that as a message of its own, since protobuf takes two
// messages that follow each other for one. The numbers are those of cluster.proto and
// state.proto.

const (
	listedTasks    = 1 // of ListTasksResponse
	watchedChanges = 2 // of WatchResponse
	changeRecord   = 1 // of WatchChange
	changeDeleted  = 2
	recordAgent    = 1 // of Record
	recordTask     = 6
)

// errTexts is the error for a text that protobuf refuses.
var errTexts = errors.New("a text is not UTF-8")

// AppendListed appends a task as one of those of a ListTasksResponse.
func AppendListed(answer []byte, t *engine.Task) ([]byte, error) {
	w := writer{bytes: answer, texts: true}
	at := w.begin(listedTasks)
	w.task(t)
	w.end(at)
	if !w.texts {
		return answer, errTexts
	}
	return w.bytes, nil
}

// AppendChange appends a change as one of those of a WatchResponse. Without a record it
// says that what stood under the key has gone.
func AppendChange(answer []byte, change engine.Change) ([]byte, error) {
	w := writer{bytes: answer, texts: true}
	var err error
	at := w.begin(watchedChanges)
	if change.Record == nil {
		w.text(changeDeleted, StoreKey(change.Key))
	} else {
		err = w.record(changeRecord, change.Record)
	}
	if err == nil && !w.texts {
		err = errTexts
	}
	if err != nil {
		return answer, err
	}
	w.end(at)
	return w.bytes, nil
}

// record appends a record.
func (w *writer) record(field protowire.Number, record engine.Record) (err error) {
	at := w.begin(field)
	if !w.short(record) {
		if w.bytes, err = (proto.MarshalOptions{}).MarshalAppend(w.bytes, FromRecord(record)); err != nil {
			return err
		}
	}
	w.end(at)
	return nil
}

// WatchHead returns what a WatchResponse says of itself, without reading its changes.
func WatchHead(answer []byte) (revision int64, synced bool, err error) {
	head := &pb.WatchResponse{}
	for left := answer; len(left) > 0; {
		field, kind, tag := protowire.ConsumeTag(left)
		if tag < 0 {
			return 0, false, protowire.ParseError(tag)
		}
		value := protowire.ConsumeFieldValue(field, kind, left[tag:])
		if value < 0 {
			return 0, false, protowire.ParseError(value)
		}
		if field != watchedChanges {
			if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(left[:tag+value], head); err != nil {
				return 0, false, err
			}
		}
		left = left[tag+value:]
	}
	return head.GetRevision(), head.GetSynced(), nil
}
