package wire

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
)

// A record is plain when it is a task as this version writes it: each message
// there at most once, no field, enum value or time that this version has no
// meaning for. The functions of this file read such a one without messages in
// between, and give up on any other: then it is read in full, which decides what
// it is. The numbers of the fields are those of state.proto and spec.proto.

// fields reads the fields of a message, one after the other. Once one is not plain,
// there are no more.
type fields struct {
	left  []byte // still to be read
	plain bool

	field  protowire.Number // negative for one that has a number
	number uint64
	bytes  []byte
}

func fieldsOf(message []byte) fields { return fields{left: message, plain: true} }

// next goes on to the next field and its value: number or bytes, as the type of the
// field says. It is false when there is none.
func (f *fields) next() bool {
	if len(f.left) == 0 {
		return false
	}
	field, kind, n := protowire.Number(f.left[0]>>3), protowire.Type(f.left[0]&7), 1
	if f.left[0] > 0x7f || field == 0 { // most tags are of one byte
		if field, kind, n = protowire.ConsumeTag(f.left); n < 0 {
			f.stop()
			return false
		}
	}
	value := f.left[n:]
	switch {
	case kind == protowire.BytesType && len(value) > 0 && int(value[0]) < min(0x80, len(value)): // as most lengths are
		n = 1 + int(value[0])
		f.bytes = value[1:n]
	case kind == protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(value)
	case kind == protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(value)
		field = -field // a number under a field that has bytes is not plain, nor the other way round
	default:
		n = -1
	}
	if n < 0 {
		f.stop()
		return false
	}
	f.field, f.left = field, value[n:]
	return true
}

// stop says that the message is not plain.
func (f *fields) stop() { f.left, f.plain = nil, false }

// text returns a text, which is not plain unless it is UTF-8.
func (f *fields) text() string {
	f.and(utf8.Valid(f.bytes))
	return string(f.bytes)
}

// name is text for what comes again and again.
func (f *fields) name(r *Reader) string {
	if !utf8.Valid(f.bytes) {
		f.stop()
		return ""
	}
	return r.name(f.bytes)
}

// once says that a message is not plain which comes a second time: the two are one.
func (f *fields) once(seen *bool) {
	f.and(!*seen)
	*seen = true
}

// and says that the message is not plain if a part of it is not.
func (f *fields) and(part bool) {
	if !part {
		f.stop()
	}
}

// small is a number of 32 bits.
func (f *fields) small() int { return int(int32(f.number)) }

// task reads a record that is a plain task.
func (r *Reader) task(value []byte) (t *engine.Task, plain bool) {
	record := fieldsOf(value)
	if !record.next() || record.field != 6 || len(record.left) > 0 {
		return nil, false
	}
	t = &engine.Task{}
	return t, r.taskFields(record.bytes, t)
}

// taskFields reads the fields of a task.
func (r *Reader) taskFields(message []byte, t *engine.Task) (plain bool) {
	f := fieldsOf(message)
	var slices []ledger.Slice
	var agent, pool string
	var hasStatus, hasCreated bool
	for f.next() {
		switch f.field {
		case 1:
			t.ID = id.Task(f.text())
		case 2:
			t.Service = id.Service(f.name(r))
		case -3:
			t.Revision = id.Revision(f.number)
		case -4:
			t.Run = int64(f.number)
		case -5:
			t.Copy = f.small()
		case -6:
			t.Retry = int32(f.number)
		case 7:
			agent = f.name(r)
		case 8:
			pool = f.name(r)
		case 9:
			slices = r.slice(&f, slices)
		case 10:
			r.port(&f, t)
		case 11:
			f.once(&hasStatus)
			f.and(readStatus(f.bytes, &t.Status))
		case -12:
			t.Restart = protowire.DecodeBool(f.number)
		case 13:
			f.once(&hasCreated)
			t.CreatedAt = f.time()
		case 14:
			t.Moves.To = id.Agent(f.name(r))
		case -15:
			t.Moves.Turn = f.small()
		case 16:
			t.Follows = id.Task(f.text())
		default:
			f.stop()
		}
	}
	if agent != "" {
		t.Claim = ledger.Claim{Task: t.ID, Agent: id.Agent(agent), Pool: id.Pool(pool), Slices: slices}
	}
	return f.plain && hasStatus
}

// slicesUsual is how many slices most claims have: cpus, mem and a port.
const slicesUsual = 3

// slice reads one more slice of a claim.
func (r *Reader) slice(f *fields, slices []ledger.Slice) []ledger.Slice {
	if slices == nil {
		slices = make([]ledger.Slice, 0, slicesUsual)
	}
	var s ledger.Slice
	var hasQuantity bool
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			s.Partition = id.Partition(in.name(r))
		case 2:
			in.once(&hasQuantity)
			q, plain := readQuantity(in.bytes)
			in.and(plain)
			s.Quantity = q
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	return append(slices, s)
}

// readQuantity reads a quantity that says its kind, a scalar or ranges.
func readQuantity(value []byte) (q resource.Quantity, plain bool) {
	var scalar int64
	var kind uint64
	var one [1]resource.Range
	ranges := one[:0]
	f := fieldsOf(value)
	for f.next() {
		switch f.field {
		case -2:
			scalar = int64(f.number)
		case 3:
			ranges = append(ranges, f.rangeOf())
		case -5:
			kind = f.number
		default:
			f.stop()
		}
	}
	switch {
	case !f.plain:
		return q, false
	case kind == 1 && len(ranges) == 0:
		return resource.Scalar(scalar), true
	case kind == 2 && scalar == 0:
		q, err := resource.RangesOf(ranges...)
		return q, err == nil
	default:
		return q, false
	}
}

func (f *fields) rangeOf() resource.Range {
	var r resource.Range
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case -1:
			r.First = int64(in.number)
		case -2:
			r.Last = int64(in.number)
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	return r
}

// port reads one more port of a task.
func (r *Reader) port(f *fields, t *engine.Task) {
	var name string
	var port int
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			name = in.name(r)
		case -2:
			port = in.small()
		default:
			in.stop()
		}
	}
	if f.and(in.plain); !in.plain {
		return
	}
	t.Ports = t.Ports.With(name, port)
}

// readStatus reads a status that says its state.
func readStatus(value []byte, s *task.Status) (plain bool) {
	f := fieldsOf(value)
	var seen [4]bool
	for f.next() {
		switch f.field {
		case -1:
			f.and(f.number <= uint64(task.Lost))
			s.State = task.State(f.number)
		case 2:
			f.once(&seen[0])
			s.Since = f.time()
		case -3:
			s.Attempt = f.small()
		case 4:
			f.once(&seen[1])
			s.ReadySince = f.time()
		case -5:
			s.Failures = f.small()
		case 6:
			f.once(&seen[2])
			s.RetryAt = f.time()
		case 7:
			f.and(s.Last == nil)
			s.Last = f.exit()
		case 8:
			s.Reason = f.text()
		case 9:
			f.once(&seen[3])
			s.UnhealthySince = f.time()
		case 10:
			s.Unhealthy = f.text()
		default:
			f.stop()
		}
	}
	return f.plain && s.State != 0
}

// exit reads how a program ended.
func (f *fields) exit() *task.Exit {
	e := &task.Exit{}
	var hasTime bool
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case -1:
			e.Code = in.small()
		case -2:
			e.Signal = in.small()
		case -3:
			e.OOM = protowire.DecodeBool(in.number)
		case 4:
			e.Error = in.text()
		case 5:
			in.once(&hasTime)
			e.At = in.time()
		case 6:
			e.LastLogs = append(e.LastLogs, in.text())
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	return e
}

// The first and the last second of a Timestamp: of the years 1 and 9999.
const secondFirst, secondLast = -62_135_596_800, 253_402_300_799

// time reads a time, which is not plain if it is none.
func (f *fields) time() time.Time {
	var seconds int64
	var nanos int
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case -1:
			seconds = int64(in.number)
		case -2:
			nanos = in.small()
		default:
			in.stop()
		}
	}
	f.and(in.plain && secondFirst <= seconds && seconds <= secondLast && 0 <= nanos && nanos < int(time.Second))
	return time.Unix(seconds, int64(nanos)).UTC()
}
