package wire

import (
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// UnmarshalAnswer reads a message as proto.Unmarshal does. Of those that are mostly
// tasks, the answers to ListTasks and Watch, it reads these and agents by itself and in a third
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
	texts
	tasks      []taskParts
	agents     []agentParts
	times      []timestamppb.Timestamp
	slices     []pb.Slice
	quantities []pb.Quantity
	ranges     []pb.Range
	changes    []changeParts
}

// spanParts are the one range that the quantities of most have.
type spanParts struct {
	span       pb.Range
	ofQuantity [1]*pb.Range
}

// taskParts are a task with the parts that most have, which lie together.
type taskParts struct {
	spanParts

	task       pb.Task
	status     pb.TaskStatus
	times      [timesUsual]timestamppb.Timestamp
	slices     [slicesUsual]pb.Slice
	quantities [slicesUsual]pb.Quantity
	ofTask     [slicesUsual]*pb.Slice
}

// timesUsual is how many times most tasks have: when it was created, became what it is,
// and was ready.
const timesUsual = 3

// changeParts are a change that is a task, as most are, or an agent.
type changeParts struct {
	change pb.WatchChange
	record pb.Record
	task   pb.Record_Task
	agent  pb.Record_Agent
}

// madeTogether is how many tasks or changes share their memory, and madeMore how many
// parts of a task of which it has more than most.
const madeTogether, madeMore = 16, 4

// one returns the next message of those that were made together, or that many new ones.
func one[M any](made *[]M, together int) *M {
	if len(*made) == 0 {
		*made = make([]M, together)
	}
	m := &(*made)[0]
	*made = (*made)[1:]
	return m
}

// readApart is from how many bytes on the halves of an answer are read side by side: who
// asks for the tasks of a large cluster waits for each page before the next is written.
const readApart = 128 << 10

// listed reads an answer to ListTasks that is plain.
func (r *answerReader) listed(text []byte, m *pb.ListTasksResponse) (plain bool) {
	cut := 0
	if len(text) >= readApart {
		cut = halfOfTasks(text)
	}
	if cut == 0 {
		return r.listedPart(text, m)
	}
	var beside sync.WaitGroup
	rest, restPlain := &pb.ListTasksResponse{}, false
	beside.Go(func() { restPlain = new(answerReader).listedPart(text[cut:], rest) })
	plain = r.listedPart(text[:cut], m)
	beside.Wait()
	m.Tasks, m.NextPageToken = append(m.Tasks, rest.GetTasks()...), rest.GetNextPageToken()
	return plain && restPlain
}

// halfOfTasks returns after how many bytes a task ends before which there are only tasks,
// in about a half of the answer, or 0.
func halfOfTasks(text []byte) int {
	cut := 0
	for cut < len(text)/2 {
		field, kind, n := protowire.ConsumeField(text[cut:])
		if n < 0 || field != listedTasks || kind != protowire.BytesType {
			return 0
		}
		cut += n
	}
	return cut
}

func (r *answerReader) listedPart(text []byte, m *pb.ListTasksResponse) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case listedTasks:
			r.cover(&f)
			t, plain := r.task(f.bytes)
			f.and(plain)
			m.Tasks = append(m.Tasks, t)
		case 2:
			m.NextPageToken = f.text()
		default:
			f.stop()
		}
	}
	return f.plain
}

// watched reads an answer to Watch of which everything is plain but records that are
// neither tasks nor agents, which may be anything.
func (r *answerReader) watched(text []byte, m *pb.WatchResponse) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case -1:
			m.Revision = int64(f.number)
		case watchedChanges:
			c := one(&r.changes, madeTogether)
			r.cover(&f)
			f.and(r.change(f.bytes, c))
			m.Changes = append(m.Changes, &c.change)
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

func (r *answerReader) change(text []byte, c *changeParts) (plain bool) {
	f := fieldsOf(text)
	for f.next() {
		switch f.field {
		case changeRecord:
			f.and(c.change.Record == nil)
			c.change.Record = &c.record
			f.and(r.record(f.bytes, c))
		case changeDeleted:
			c.change.Deleted = f.text()
		default:
			f.stop()
		}
	}
	return f.plain
}

// record reads a record, in full if it is not one task or agent.
func (r *answerReader) record(text []byte, c *changeParts) (plain bool) {
	f := fieldsOf(text)
	switch single := f.next() && len(f.left) == 0; {
	case single && f.field == recordTask:
		c.task.Task, plain = r.task(f.bytes)
		c.record.Record = &c.task
		return plain
	case single && f.field == recordAgent:
		c.agent.Agent, plain = r.agent(f.bytes)
		c.record.Record = &c.agent
		return plain
	default:
		return proto.Unmarshal(text, &c.record) == nil
	}
}

// texts are the texts of a part of an answer: parts of one string that has all of it.
type texts struct {
	all string
	of  []byte
}

// textsBytes is about how much of an answer has its texts in one string.
const textsBytes = 4 << 10

// cover has texts be of the message that f stands at, and of some that follow.
func (s *texts) cover(f *fields) {
	begin := cap(s.of) - cap(f.bytes) // both end where the memory that they share ends
	if begin < 0 || begin+len(f.bytes) > len(s.all) {
		s.of = f.bytes[:min(len(f.bytes)+len(f.left), max(len(f.bytes), textsBytes))] // what is left follows it
		s.all = string(s.of)
	}
}

// text returns the part of the string that f stands at.
func (s *texts) text(f *fields) string {
	f.and(utf8.Valid(f.bytes))
	begin := cap(s.of) - cap(f.bytes)
	return s.all[begin : begin+len(f.bytes)]
}

// task reads a task. Its texts are covered.
func (r *answerReader) task(message []byte) (t *pb.Task, plain bool) {
	parts := one(&r.tasks, madeTogether)
	t = &parts.task
	r.times, r.slices, r.quantities, r.ranges = parts.times[:], parts.slices[:], parts.quantities[:], nil
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case 1:
			t.Id = r.text(&f)
		case 2:
			t.Service = r.text(&f)
		case -3:
			t.Revision = int64(f.number)
		case -4:
			t.Run = int64(f.number)
		case -5:
			t.Copy = int32(f.number)
		case -6:
			t.Retry = int32(f.number)
		case 7:
			t.Agent = r.text(&f)
		case 8:
			t.Pool = r.text(&f)
		case 9:
			r.slice(&f, parts)
		case 10:
			r.port(&f, t)
		case 11:
			f.and(t.Status == nil)
			t.Status = &parts.status
			f.and(r.status(f.bytes, t.Status))
		case -12:
			t.Restart = protowire.DecodeBool(f.number)
		case 13:
			r.time(&f, &t.CreatedAt)
		case 14:
			t.MovesTo = r.text(&f)
		case -15:
			t.MovesTurn = int32(f.number)
		case 16:
			t.Follows = r.text(&f)
		default:
			f.stop()
		}
	}
	return t, f.plain
}

func (r *answerReader) slice(f *fields, parts *taskParts) {
	m := one(&r.slices, madeMore)
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			m.Partition = r.text(&in)
		case 2:
			in.and(m.Quantity == nil)
			m.Quantity = one(&r.quantities, madeMore)
			in.and(r.quantity(in.bytes, m.Quantity, &parts.spanParts))
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	if parts.task.Slices == nil {
		parts.task.Slices = parts.ofTask[:0]
	}
	parts.task.Slices = append(parts.task.Slices, m)
}

func (r *answerReader) quantity(message []byte, q *pb.Quantity, parts *spanParts) (plain bool) {
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case 1:
			q.Type = r.text(&f)
		case -2:
			q.Scalar = int64(f.number)
		case 3:
			r.spanOf(&f, q, parts)
		case 4:
			q.Members = append(q.Members, r.text(&f))
		case -5:
			q.Kind = pb.QuantityKind(f.number)
		default:
			f.stop()
		}
	}
	return f.plain
}

// spanOf reads one more range of a quantity. The first of a task or agent has its place.
func (r *answerReader) spanOf(f *fields, q *pb.Quantity, parts *spanParts) {
	m := &parts.span
	if parts.ofQuantity[0] == nil {
		parts.ofQuantity[0] = m
		q.Ranges = parts.ofQuantity[:]
	} else {
		m = one(&r.ranges, madeMore)
		q.Ranges = append(q.Ranges, m)
	}
	found := f.rangeOf()
	m.First, m.Last = found.First, found.Last
}

func (r *answerReader) port(f *fields, t *pb.Task) {
	var name string
	var port int32
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			name = r.text(&in)
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

func (r *answerReader) status(message []byte, m *pb.TaskStatus) (plain bool) {
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
			m.Reason = r.text(&f)
		case 9:
			r.time(&f, &m.UnhealthySince)
		case 10:
			m.Unhealthy = r.text(&f)
		default:
			f.stop()
		}
	}
	return f.plain
}

func (r *answerReader) time(f *fields, into **timestamppb.Timestamp) {
	f.and(*into == nil)
	m := one(&r.times, madeMore)
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
