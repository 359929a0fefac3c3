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

// fields are those of a message that are still to be read. Once one is not plain,
// there are no more.
type fields struct {
	left  []byte
	plain bool
}

func fieldsOf(message []byte) fields { return fields{left: message, plain: true} }

// next returns the number of the next field and its value: number or bytes, as the
// type of the field says. It is false when there is none.
func (f *fields) next() (field protowire.Number, number uint64, bytes []byte, ok bool) {
	if len(f.left) == 0 {
		return 0, 0, nil, false
	}
	field, kind, n := protowire.ConsumeTag(f.left)
	if n < 0 {
		return f.stop()
	}
	f.left = f.left[n:]
	switch kind {
	case protowire.VarintType:
		number, n = protowire.ConsumeVarint(f.left)
		field = -field // a number under a field that has bytes is not plain, nor the other way round
	case protowire.BytesType:
		bytes, n = protowire.ConsumeBytes(f.left)
	default:
		n = -1
	}
	if n < 0 {
		return f.stop()
	}
	f.left = f.left[n:]
	return field, number, bytes, true
}

// stop says that the message is not plain.
func (f *fields) stop() (field protowire.Number, number uint64, bytes []byte, ok bool) {
	f.left, f.plain = nil, false
	return 0, 0, nil, false
}

// text returns a text, which is not plain unless it is UTF-8.
func (f *fields) text(value []byte) string {
	if !utf8.Valid(value) {
		f.stop()
	}
	return string(value)
}

// name is text for what comes again and again.
func (f *fields) name(r *Reader, value []byte) string {
	if !utf8.Valid(value) {
		f.stop()
		return ""
	}
	return r.name(value)
}

// once says that a message is not plain which comes a second time: the two are one.
func (f *fields) once(seen *bool) {
	if *seen {
		f.stop()
	}
	*seen = true
}

// and says that the message is not plain if a part of it is not.
func (f *fields) and(part bool) {
	if !part {
		f.stop()
	}
}

// small is a number of 32 bits.
func small(number uint64) int { return int(int32(number)) }

// task reads a record that is a plain task.
func (r *Reader) task(value []byte) (t *engine.Task, plain bool) {
	record := fieldsOf(value)
	field, _, message, ok := record.next()
	if !ok || field != 6 || len(record.left) > 0 {
		return nil, false
	}
	t = &engine.Task{}
	return t, r.taskFields(message, t)
}

// taskFields reads the fields of a task.
func (r *Reader) taskFields(message []byte, t *engine.Task) (plain bool) {
	f := fieldsOf(message)
	var slices []ledger.Slice
	var agent, pool string
	var hasStatus, hasCreated bool
	for {
		field, number, bytes, ok := f.next()
		if !ok {
			break
		}
		switch field {
		case 1:
			t.ID = id.Task(f.text(bytes))
		case 2:
			t.Service = id.Service(f.name(r, bytes))
		case -3:
			t.Revision = id.Revision(number)
		case -4:
			t.Run = int64(number)
		case -5:
			t.Copy = small(number)
		case -6:
			t.Retry = small(number)
		case 7:
			agent = f.name(r, bytes)
		case 8:
			pool = f.name(r, bytes)
		case 9:
			slices = r.slice(&f, bytes, slices)
		case 10:
			r.port(&f, bytes, t)
		case 11:
			f.once(&hasStatus)
			f.and(readStatus(bytes, &t.Status))
		case -12:
			t.Restart = protowire.DecodeBool(number)
		case 13:
			f.once(&hasCreated)
			t.CreatedAt = f.time(bytes)
		case 14:
			t.Moves.To = id.Agent(f.name(r, bytes))
		case -15:
			t.Moves.Turn = small(number)
		case 16:
			t.Follows = id.Task(f.text(bytes))
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
func (r *Reader) slice(f *fields, value []byte, slices []ledger.Slice) []ledger.Slice {
	if slices == nil {
		slices = make([]ledger.Slice, 0, slicesUsual)
	}
	var s ledger.Slice
	var hasQuantity bool
	in := fieldsOf(value)
	for {
		field, _, bytes, ok := in.next()
		if !ok {
			break
		}
		switch field {
		case 1:
			s.Partition = id.Partition(in.name(r, bytes))
		case 2:
			in.once(&hasQuantity)
			q, plain := readQuantity(bytes)
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
	for {
		field, number, bytes, ok := f.next()
		if !ok {
			break
		}
		switch field {
		case -2:
			scalar = int64(number)
		case 3:
			ranges = append(ranges, f.rangeOf(bytes))
		case -5:
			kind = number
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

func (f *fields) rangeOf(value []byte) resource.Range {
	var r resource.Range
	in := fieldsOf(value)
	for {
		field, number, _, ok := in.next()
		if !ok {
			break
		}
		switch field {
		case -1:
			r.First = int64(number)
		case -2:
			r.Last = int64(number)
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	return r
}

// port reads one more port of a task.
func (r *Reader) port(f *fields, value []byte, t *engine.Task) {
	var name string
	var port int
	in := fieldsOf(value)
	for {
		field, number, bytes, ok := in.next()
		if !ok {
			break
		}
		switch field {
		case 1:
			name = in.name(r, bytes)
		case -2:
			port = small(number)
		default:
			in.stop()
		}
	}
	if f.and(in.plain); !in.plain {
		return
	}
	if t.Ports == nil {
		t.Ports = make(map[string]int)
	}
	t.Ports[name] = port
}

// readStatus reads a status that says its state.
func readStatus(value []byte, s *task.Status) (plain bool) {
	f := fieldsOf(value)
	var seen [4]bool
	for {
		field, number, bytes, ok := f.next()
		if !ok {
			break
		}
		switch field {
		case -1:
			f.and(number <= uint64(task.Lost))
			s.State = task.State(number)
		case 2:
			f.once(&seen[0])
			s.Since = f.time(bytes)
		case -3:
			s.Attempt = small(number)
		case 4:
			f.once(&seen[1])
			s.ReadySince = f.time(bytes)
		case -5:
			s.Failures = small(number)
		case 6:
			f.once(&seen[2])
			s.RetryAt = f.time(bytes)
		case 7:
			f.and(s.Last == nil)
			s.Last = f.exit(bytes)
		case 8:
			s.Reason = f.text(bytes)
		case 9:
			f.once(&seen[3])
			s.UnhealthySince = f.time(bytes)
		case 10:
			s.Unhealthy = f.text(bytes)
		default:
			f.stop()
		}
	}
	return f.plain && s.State != 0
}

// exit reads how a program ended.
func (f *fields) exit(value []byte) *task.Exit {
	e := &task.Exit{}
	var hasTime bool
	in := fieldsOf(value)
	for {
		field, number, bytes, ok := in.next()
		if !ok {
			break
		}
		switch field {
		case -1:
			e.Code = small(number)
		case -2:
			e.Signal = small(number)
		case -3:
			e.OOM = protowire.DecodeBool(number)
		case 4:
			e.Error = in.text(bytes)
		case 5:
			in.once(&hasTime)
			e.At = in.time(bytes)
		case 6:
			e.LastLogs = append(e.LastLogs, in.text(bytes))
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
func (f *fields) time(value []byte) time.Time {
	var seconds int64
	var nanos int
	in := fieldsOf(value)
	for {
		field, number, _, ok := in.next()
		if !ok {
			break
		}
		switch field {
		case -1:
			seconds = int64(number)
		case -2:
			nanos = small(number)
		default:
			in.stop()
		}
	}
	f.and(in.plain && secondFirst <= seconds && seconds <= secondLast && 0 <= nanos && nanos < int(time.Second))
	return time.Unix(seconds, int64(nanos)).UTC()
}
