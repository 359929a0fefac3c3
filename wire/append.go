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
	switch r := record.(type) {
	case *engine.Task:
		w.message(recordTask, func() { w.task(r) })
	case *engine.Agent:
		w.message(recordAgent, func() { w.agent(r) })
	default:
		return nil, false
	}
	return w.bytes, w.texts
}

func (w *writer) number(field protowire.Number, n int64) {
	if n != 0 {
		w.bytes = protowire.AppendTag(w.bytes, field, protowire.VarintType)
		w.bytes = protowire.AppendVarint(w.bytes, uint64(n))
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
	w.bytes = protowire.AppendTag(w.bytes, field, protowire.BytesType)
	w.bytes = protowire.AppendString(w.bytes, s)
}

// message appends what fill appends as the message of a field.
func (w *writer) message(field protowire.Number, fill func()) {
	w.bytes = append(protowire.AppendTag(w.bytes, field, protowire.BytesType), 0) // room for the length
	begin := len(w.bytes)
	fill()
	length := len(w.bytes) - begin
	if more := protowire.SizeVarint(uint64(length)) - 1; more > 0 {
		w.bytes = slices.Grow(w.bytes, more)[:len(w.bytes)+more]
		copy(w.bytes[begin+more:], w.bytes[begin:begin+length])
	}
	protowire.AppendVarint(w.bytes[:begin-1], uint64(length))
}

func (w *writer) time(field protowire.Number, t time.Time) {
	if t.IsZero() {
		return
	}
	w.message(field, func() {
		w.number(1, t.Unix())
		w.number(2, int64(t.Nanosecond()))
	})
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
		w.message(9, func() { w.slice(&t.Claim.Slices[i]) })
	}
	w.ports(t.Ports)
	w.message(11, func() { w.status(&t.Status) })
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
	w.message(10, func() {
		w.element(1, name)
		w.bytes = protowire.AppendTag(w.bytes, 2, protowire.VarintType)
		w.bytes = protowire.AppendVarint(w.bytes, uint64(int32(port)))
	})
}

func (w *writer) slice(s *ledger.Slice) {
	w.text(1, string(s.Partition))
	w.message(2, func() { w.quantity(s.Quantity) })
}

// quantity appends one whose type the partition tells.
func (w *writer) quantity(q resource.Quantity) {
	kind := pb.QuantityKind_QUANTITY_KIND_SCALAR
	switch q.Kind() {
	case resource.KindRanges:
		kind = pb.QuantityKind_QUANTITY_KIND_RANGES
		for _, r := range q.Ranges() {
			w.message(3, func() {
				w.number(1, r.First)
				w.number(2, r.Last)
			})
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

func (w *writer) status(s *task.Status) {
	w.number(1, int64(s.State))
	w.time(2, s.Since)
	w.number(3, int64(int32(s.Attempt)))
	w.time(4, s.ReadySince)
	w.number(5, int64(int32(s.Failures)))
	w.time(6, s.RetryAt)
	if s.Last != nil {
		w.message(7, func() { w.exit(s.Last) })
	}
	w.text(8, s.Reason)
	w.time(9, s.UnhealthySince)
	w.text(10, s.Unhealthy)
}

func (w *writer) exit(e *task.Exit) {
	w.number(1, int64(int32(e.Code)))
	w.number(2, int64(int32(e.Signal)))
	w.truth(3, e.OOM)
	w.text(4, e.Error)
	w.time(5, e.At)
	for _, line := range e.LastLogs {
		w.element(6, line)
	}
}
