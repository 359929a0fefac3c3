package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// UnmarshalAnswer reads a message as proto.Unmarshal does. Of those that are mostly
// tasks, the answers to ListTasks and Watch, it reads the tasks by itself and in a third
// of the time: their parts come from shared memory, and their texts are of one string.
// What is not plain in that is read in full.
func UnmarshalAnswer(text []byte, into proto.Message) error {
	r := answerReader{}
	switch m := into.(type) {
	case *pb.ListTasksResponse:
		if proto.Reset(m); r.listed(text, m) {
			return nil
		}
	case *pb.WatchResponse:
		if proto.Reset(m); r.watched(text, m) {
			return nil
		}
	}
	return proto.Unmarshal(text, into)
}

// answerReader makes the messages of an answer. A pointer to one keeps those that were
// made with it.
type answerReader struct {
	tasks      []pb.Task
	statuses   []pb.TaskStatus
	times      []timestamppb.Timestamp
	slices     []pb.Slice
	quantities []pb.Quantity
	ranges     []pb.Range
	changes    []pb.WatchChange
	records    []pb.Record
	ofTask     []pb.Record_Task
}

// madeTogether is how many messages share their memory.
const madeTogether = 32

// one returns the next message of those that were made together.
func one[M any](made *[]M) *M {
	if len(*made) == 0 {
		*made = make([]M, madeTogether)
	}
	m := &(*made)[0]
	*made = (*made)[1:]
	return m
}

// listed reads an answer to ListTasks that is plain.
func (r *answerReader) listed(text []byte, m *pb.ListTasksResponse) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case listedTasks:
			t := one(&r.tasks)
			f.and(r.task(f.bytes, t))
			m.Tasks = append(m.Tasks, t)
		case 2:
			m.NextPageToken = f.text()
		default:
			f.stop()
		}
	}
	return f.plain
}

// watched reads an answer to Watch of which everything is plain but records that are no
// tasks, which may be anything.
func (r *answerReader) watched(text []byte, m *pb.WatchResponse) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case -1:
			m.Revision = int64(f.number)
		case watchedChanges:
			c := one(&r.changes)
			f.and(r.change(f.bytes, c))
			m.Changes = append(m.Changes, c)
		case 3:
			n := &pb.Note{}
			f.and(proto.Unmarshal(f.bytes, n) == nil)
			m.Notes = append(m.Notes, n)
		case -4:
			m.Synced = protowire.DecodeBool(f.number)
		default:
			f.stop()
		}
	}
	return f.plain
}

func (r *answerReader) change(text []byte, m *pb.WatchChange) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case changeRecord:
			f.and(m.Record == nil)
			m.Record = one(&r.records)
			f.and(r.record(f.bytes, m.Record))
		case changeDeleted:
			m.Deleted = f.text()
		default:
			f.stop()
		}
	}
	return f.plain
}

// record reads a record, in full if it is not one plain task.
func (r *answerReader) record(text []byte, m *pb.Record) (plain bool) {
	f := fieldsOf(text)
	if !f.next() || f.field != recordTask || len(f.left) > 0 {
		return proto.Unmarshal(text, m) == nil
	}
	of := one(&r.ofTask)
	of.Task = one(&r.tasks)
	m.Record = of
	return r.task(f.bytes, of.Task)
}

// texts are the texts of a message: parts of one string that has all of it.
type texts struct {
	all string
	of  []byte
}

// text returns the part of the string that f stands at.
func (s *texts) text(f *fields) string {
	f.and(utf8.Valid(f.bytes))
	begin := cap(s.of) - cap(f.bytes) // both end where the memory that they share ends
	return s.all[begin : begin+len(f.bytes)]
}

func (r *answerReader) task(message []byte, t *pb.Task) (plain bool) {
	s := texts{string(message), message}
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case 1:
			t.Id = s.text(&f)
		case 2:
			t.Service = s.text(&f)
		case -3:
			t.Revision = int64(f.number)
		case -4:
			t.Run = int64(f.number)
		case -5:
			t.Copy = int32(f.number)
		case -6:
			t.Retry = int32(f.number)
		case 7:
			t.Agent = s.text(&f)
		case 8:
			t.Pool = s.text(&f)
		case 9:
			r.slice(&s, &f, t)
		case 10:
			s.port(&f, t)
		case 11:
			f.and(t.Status == nil)
			t.Status = one(&r.statuses)
			f.and(r.status(&s, f.bytes, t.Status))
		case -12:
			t.Restart = protowire.DecodeBool(f.number)
		case 13:
			r.time(&f, &t.CreatedAt)
		case 14:
			t.MovesTo = s.text(&f)
		case -15:
			t.MovesTurn = int32(f.number)
		case 16:
			t.Follows = s.text(&f)
		default:
			f.stop()
		}
	}
	return f.plain
}

func (r *answerReader) slice(s *texts, f *fields, t *pb.Task) {
	m := one(&r.slices)
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			m.Partition = s.text(&in)
		case 2:
			in.and(m.Quantity == nil)
			m.Quantity = one(&r.quantities)
			in.and(r.quantity(s, in.bytes, m.Quantity))
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	if t.Slices == nil {
		t.Slices = make([]*pb.Slice, 0, slicesUsual)
	}
	t.Slices = append(t.Slices, m)
}

func (r *answerReader) quantity(s *texts, message []byte, q *pb.Quantity) (plain bool) {
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case 1:
			q.Type = s.text(&f)
		case -2:
			q.Scalar = int64(f.number)
		case 3:
			m := one(&r.ranges)
			found := f.rangeOf()
			m.First, m.Last = found.First, found.Last
			q.Ranges = append(q.Ranges, m)
		case 4:
			q.Members = append(q.Members, s.text(&f))
		case -5:
			q.Kind = pb.QuantityKind(f.number)
		default:
			f.stop()
		}
	}
	return f.plain
}

func (s *texts) port(f *fields, t *pb.Task) {
	var name string
	var port int32
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			name = s.text(&in)
		case -2:
			port = int32(in.number)
		default:
			in.stop()
		}
	}
	if f.and(in.plain); !in.plain {
		return
	}
	if t.Ports == nil {
		t.Ports = make(map[string]int32, 1)
	}
	t.Ports[name] = port
}

func (r *answerReader) status(s *texts, message []byte, m *pb.TaskStatus) (plain bool) {
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case -1:
			m.State = pb.TaskState(f.number)
		case 2:
			r.time(&f, &m.Since)
		case -3:
			m.Attempt = int32(f.number)
		case 4:
			r.time(&f, &m.ReadySince)
		case -5:
			m.Failures = int32(f.number)
		case 6:
			r.time(&f, &m.RetryAt)
		case 7:
			f.and(m.Last == nil)
			m.Last = &pb.Exit{}
			f.and(proto.Unmarshal(f.bytes, m.Last) == nil)
		case 8:
			m.Reason = s.text(&f)
		case 9:
			r.time(&f, &m.UnhealthySince)
		case 10:
			m.Unhealthy = s.text(&f)
		default:
			f.stop()
		}
	}
	return f.plain
}

func (r *answerReader) time(f *fields, into **timestamppb.Timestamp) {
	f.and(*into == nil)
	m := one(&r.times)
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case -1:
			m.Seconds = int64(in.number)
		case -2:
			m.Nanos = int32(in.number)
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	*into = m
}
