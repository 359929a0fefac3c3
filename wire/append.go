package wire

import (
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// A leader writes the record of every task again and again, and few others but those of
// agents. The functions of this file write it without messages in between, as protobuf would:
// fields by their numbers, which are those of state.proto and spec.proto, what is zero
// left out, and the ports in the order of their names.

// recordBytesUsual is more than most tasks and agents take.
const recordBytesUsual = 320

// writer appends the fields of messages. It is false about texts once one is not UTF-8,
// which protobuf refuses.
type writer struct {
	bytes []byte
	texts bool
}

// marshalShort returns the record of a task or an agent; false for others, or if a text
// of it is not UTF-8.
func marshalShort(record engine.Record) ([]byte, bool) {
	w := writer{bytes: make([]byte, 0, recordBytesUsual), texts: true}
	if !w.short(record) {
		return nil, false
	}
	return w.bytes, w.texts
}

// short appends what a record says that is a task or an agent; nothing of others.
func (w *writer) short(record engine.Record) bool {
	switch r := record.(type) {
	case *engine.Task:
		at := w.begin(recordTask)
		w.task(r)
		w.end(at)
	case *engine.Agent:
		at := w.begin(recordAgent)
		w.agent(r)
		w.end(at)
	default:
		return false
	}
	return true
}

// appendTag appends the number and the type of a field.
func appendTag(b []byte, field protowire.Number, kind protowire.Type) []byte {
	return appendVarint(b, uint64(field)<<3|uint64(kind))
}

// appendVarint appends a number. protowire does so, too, but looks at its size first.
func appendVarint(b []byte, n uint64) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func (w *writer) number(field protowire.Number, n int64) {
	if n != 0 {
		w.bytes = appendVarint(appendTag(w.bytes, field, protowire.VarintType), uint64(n))
	}
}

func (w *writer) truth(field protowire.Number, is bool) {
	w.number(field, int64(protowire.EncodeBool(is)))
}

func (w *writer) text(field protowire.Number, s string) {
	if s != "" {
		w.element(field, s)
	}
}

// element is text for one of a list, which is there when it is empty, too.
func (w *writer) element(field protowire.Number, s string) {
	w.texts = w.texts && utf8.ValidString(s)
	w.bytes = append(appendVarint(appendTag(w.bytes, field, protowire.BytesType), uint64(len(s))), s...)
}

// begin begins the message of a field: what is appended until end is of it.
func (w *writer) begin(field protowire.Number) (at int) {
	w.bytes = append(appendTag(w.bytes, field, protowire.BytesType), 0) // room for the length
	return len(w.bytes)
}

// end ends the message that begins there.
func (w *writer) end(at int) {
	if length := len(w.bytes) - at; length < 0x80 {
		w.bytes[at-1] = byte(length)
	} else {
		w.endLong(at, length)
	}
}

func (w *writer) endLong(at, length int) {
	more := protowire.SizeVarint(uint64(length)) - 1
	w.bytes = slices.Grow(w.bytes, more)[:len(w.bytes)+more]
	copy(w.bytes[at+more:], w.bytes[at:at+length])
	protowire.AppendVarint(w.bytes[:at-1], uint64(length))
}

func (w *writer) time(field protowire.Number, t time.Time) {
	if t.IsZero() {
		return
	}
	at := w.begin(field)
	w.number(1, t.Unix())
	w.number(2, int64(t.Nanosecond()))
	w.end(at)
}

func (w *writer) task(t *engine.Task) {
	w.text(1, string(t.ID))
	w.text(2, string(t.Service))
	w.number(3, int64(t.Revision))
	w.number(4, t.Run)
	w.number(5, int64(int32(t.Copy)))
	w.number(6, int64(t.Retry))
	w.text(7, string(t.Claim.Agent))
	w.text(8, string(t.Claim.Pool))
	for i := range t.Claim.Slices {
		w.slice(9, &t.Claim.Slices[i])
	}
	w.ports(t.Ports)
	w.status(11, &t.Status)
	w.truth(12, t.Restart)
	w.time(13, t.CreatedAt)
	w.text(14, string(t.Moves.To))
	w.number(15, int64(int32(t.Moves.Turn)))
	w.text(16, string(t.Follows))
}

// ports appends ports in their order.
func (w *writer) ports(ports engine.Ports) {
	for _, port := range ports {
		w.port(port.Name, port.Number)
	}
}

func (w *writer) port(name string, port int) {
	at := w.begin(10)
	w.element(1, name)
	w.bytes = appendVarint(appendTag(w.bytes, 2, protowire.VarintType), uint64(int32(port)))
	w.end(at)
}

func (w *writer) slice(field protowire.Number, s *ledger.Slice) {
	at := w.begin(field)
	w.text(1, string(s.Partition))
	of := w.begin(2)
	w.quantity(s.Quantity)
	w.end(of)
	w.end(at)
}

// quantity appends one whose type the partition tells.
func (w *writer) quantity(q resource.Quantity) {
	kind := pb.QuantityKind_QUANTITY_KIND_SCALAR
	switch q.Kind() {
	case resource.KindRanges:
		kind = pb.QuantityKind_QUANTITY_KIND_RANGES
		for r := range q.EachRange {
			at := w.begin(3)
			w.number(1, r.First)
			w.number(2, r.Last)
			w.end(at)
		}
	case resource.KindSet:
		kind = pb.QuantityKind_QUANTITY_KIND_SET
		for _, member := range q.Members() {
			w.element(4, member)
		}
	default:
		w.number(2, q.Amount())
	}
	w.number(5, int64(kind))
}

func (w *writer) status(field protowire.Number, s *task.Status) {
	at := w.begin(field)
	w.number(1, int64(s.State))
	w.time(2, s.Since)
	w.number(3, int64(int32(s.Attempt)))
	w.time(4, s.ReadySince)
	w.number(5, int64(int32(s.Failures)))
	w.time(6, s.RetryAt)
	if s.Last != nil {
		w.exit(7, s.Last)
	}
	w.text(8, s.Reason)
	w.time(9, s.UnhealthySince)
	w.text(10, s.Unhealthy)
	w.end(at)
}

func (w *writer) exit(field protowire.Number, e *task.Exit) {
	at := w.begin(field)
	w.number(1, int64(int32(e.Code)))
	w.number(2, int64(int32(e.Signal)))
	w.truth(3, e.OOM)
	w.text(4, e.Error)
	w.time(5, e.At)
	for _, line := range e.LastLogs {
		w.element(6, line)
	}
	w.end(at)
}
