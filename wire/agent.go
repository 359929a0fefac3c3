package wire

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// All agents of a large cluster may come at once, and are a part of each answer to who
// watches everything. They are written and read as tasks are.

// agent appends an agent, with its attributes in the order of their names.
func (w *writer) agent(a *engine.Agent) {
	w.text(1, string(a.ID))
	w.text(2, a.BootID)
	w.text(3, a.Hostname)
	w.text(4, a.Version)
	w.text(5, a.Address)
	names := slices.AppendSeq(make([]string, 0, len(a.Attributes)), maps.Keys(a.Attributes))
	slices.Sort(names)
	for _, name := range names {
		at := w.begin(6)
		w.element(1, name)
		w.element(2, a.Attributes[name])
		w.end(at)
	}
	for i := range a.Partitions {
		w.partition(7, a.ID, &a.Partitions[i])
	}
	w.truth(8, a.Draining)
	w.time(9, a.DrainedBy)
	w.time(10, a.JoinedAt)
	w.time(11, a.SilentSince)
	w.truth(12, a.Unreachable)
	w.truth(13, a.DrainForced)
	w.truth(14, a.Leaving)
}

func (w *writer) partition(field protowire.Number, agent id.Agent, p *ledger.Partition) {
	at := w.begin(field)
	w.text(1, string(p.ID))
	w.text(2, string(agent))
	of := w.begin(3)
	w.text(1, string(p.Type))
	w.quantity(p.Quantity)
	w.end(of)
	w.number(4, p.Weight)
	w.end(at)
}

// agentParts are an agent with the parts that most have, which lie together.
type agentParts struct {
	spanParts

	agent      pb.Agent
	times      [1]timestamppb.Timestamp
	partitions [slicesUsual]pb.Partition
	quantities [slicesUsual]pb.Quantity
	ofAgent    [slicesUsual]*pb.Partition
}

// agent reads an agent. Its texts are covered.
func (r *answerReader) agent(message []byte) (a *pb.Agent, plain bool) {
	parts := one(&r.agents, madeTogether)
	a = &parts.agent
	r.times, r.quantities, r.ranges = parts.times[:], parts.quantities[:], nil
	f := fieldsOf(message)
	for f.next() {
		switch f.field {
		case 1:
			a.Id = r.text(&f)
		case 2:
			a.BootId = r.text(&f)
		case 3:
			a.Hostname = r.text(&f)
		case 4:
			a.Version = r.text(&f)
		case 5:
			a.Address = r.text(&f)
		case 6:
			r.attribute(&f, a)
		case 7:
			r.partition(&f, parts)
		case -8:
			a.Draining = protowire.DecodeBool(f.number)
		case 9:
			r.time(&f, &a.DrainedBy)
		case 10:
			r.time(&f, &a.JoinedAt)
		case 11:
			r.time(&f, &a.SilentSince)
		case -12:
			a.Unreachable = protowire.DecodeBool(f.number)
		case -13:
			a.DrainForced = protowire.DecodeBool(f.number)
		case -14:
			a.Leaving = protowire.DecodeBool(f.number)
		default:
			f.stop()
		}
	}
	return a, f.plain
}

func (r *answerReader) attribute(f *fields, a *pb.Agent) {
	var name, value string
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			name = r.text(&in)
		case 2:
			value = r.text(&in)
		default:
			in.stop()
		}
	}
	if f.and(in.plain); !in.plain {
		return
	}
	if a.Attributes == nil {
		a.Attributes = make(map[string]string, 1)
	}
	a.Attributes[name] = value
}

func (r *answerReader) partition(f *fields, parts *agentParts) {
	m := &pb.Partition{}
	switch n := len(parts.agent.Partitions); {
	case n == 0:
		parts.agent.Partitions = parts.ofAgent[:0]
		m = &parts.partitions[0]
	case n < len(parts.partitions):
		m = &parts.partitions[n]
	}
	in := fieldsOf(f.bytes)
	for in.next() {
		switch in.field {
		case 1:
			m.Id = r.text(&in)
		case 2:
			m.Agent = r.text(&in)
		case 3:
			in.and(m.Quantity == nil)
			m.Quantity = one(&r.quantities, madeMore)
			in.and(r.quantity(in.bytes, m.Quantity, &parts.spanParts))
		case -4:
			m.WeightThousandths = int64(in.number)
		default:
			in.stop()
		}
	}
	f.and(in.plain)
	parts.agent.Partitions = append(parts.agent.Partitions, m)
}
