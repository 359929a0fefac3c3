package wire_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// goodSpec is the least that is a spec.
func goodSpec(change func(*pb.Spec)) *pb.Record {
	s := &pb.Spec{Kind: pb.SpecKind_SPEC_KIND_SERVICE, Name: "web"}
	change(s)
	return &pb.Record{Record: &pb.Record_Revision{Revision: &pb.Revision{Service: "web", Number: 3, Spec: s}}}
}

func taskWith(status *pb.TaskStatus) *pb.Record {
	return &pb.Record{Record: &pb.Record_Task{Task: &pb.Task{Id: "web-1-1", Status: status}}}
}

func partitionWith(q *pb.Quantity) *pb.Record {
	return &pb.Record{Record: &pb.Record_Agent{Agent: &pb.Agent{Id: "a1", Partitions: []*pb.Partition{{Id: "p1", Quantity: q}}}}}
}

func TestRefusedRecords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		record *pb.Record
		says   string // the field, and what is wrong with it
	}{
		"a record of no kind":            {&pb.Record{}, "kind that this version does not know"},
		"a service without a kind":       {&pb.Record{Record: &pb.Record_Service{Service: &pb.Service{Name: "web"}}}, "service web: kind is missing"},
		"a service of an unknown kind":   {&pb.Record{Record: &pb.Record_Service{Service: &pb.Service{Kind: 9}}}, "service.kind: unknown value 9"},
		"a service of a negative kind":   {&pb.Record{Record: &pb.Record_Service{Service: &pb.Service{Kind: -1}}}, "service.kind: unknown value -1"},
		"a job with an unknown result":   {&pb.Record{Record: &pb.Record_Service{Service: &pb.Service{Kind: 2, Result: 12}}}, "service.result: unknown value 12"},
		"a deployment without a state":   {&pb.Record{Record: &pb.Record_Deployment{Deployment: &pb.Deployment{Id: "web-1"}}}, "deployment web-1: state is missing"},
		"a deployment in unknown state":  {&pb.Record{Record: &pb.Record_Deployment{Deployment: &pb.Deployment{State: 99}}}, "deployment.state: unknown value 99"},
		"a failure without its exit":     {&pb.Record{Record: &pb.Record_Deployment{Deployment: &pb.Deployment{State: 1, Failure: &pb.Failure{}}}}, "failure.exit is missing"},
		"a revision without its spec":    {&pb.Record{Record: &pb.Record_Revision{Revision: &pb.Revision{Service: "web", Number: 3}}}, "revision 3 of web: spec is missing"},
		"a spec without a kind":          {goodSpec(func(s *pb.Spec) { s.Kind = 0 }), "spec web: kind is missing"},
		"a spec of an unknown kind":      {goodSpec(func(s *pb.Spec) { s.Kind = 5 }), "revision.spec.kind: unknown value 5"},
		"an unknown probe":               {goodSpec(func(s *pb.Spec) { s.Ready = &pb.Probe{Kind: 77} }), "spec.ready.kind: unknown value 77"},
		"an unknown way to fail":         {goodSpec(func(s *pb.Spec) { s.Deploy = &pb.Deploy{OnFailure: 3} }), "spec.deploy.on_failure: unknown value 3"},
		"an unknown overlap":             {goodSpec(func(s *pb.Spec) { s.Schedule = &pb.Schedule{Overlap: 4} }), "spec.schedule.overlap: unknown value 4"},
		"a schedule without its overlap": {goodSpec(func(s *pb.Spec) { s.Schedule = &pb.Schedule{} }), "schedule.overlap is missing"},
		"an unknown operator": {
			goodSpec(func(s *pb.Spec) { s.Placement = &pb.Placement{Where: []*pb.Constraint{{Operator: 1}, {Operator: 5}}} }),
			"spec.placement.where[1].operator: unknown value 5",
		},
		"a constraint without operator": {
			goodSpec(func(s *pb.Spec) { s.Placement = &pb.Placement{Where: []*pb.Constraint{{Operator: 1}, {}}} }),
			"placement.where[1].operator is missing",
		},
		"a duration that is none": {
			goodSpec(func(s *pb.Spec) { s.Timeout = &durationpb.Duration{Seconds: math.MaxInt64} }), "spec.timeout: ",
		},
		"a type that is there twice": {
			goodSpec(func(s *pb.Spec) { s.Resources = []*pb.Quantity{{Type: "mem", Scalar: 1}, {Type: "mem", Scalar: 2}} }), "resources: ",
		},
		"a task without a status":     {taskWith(nil), "task web-1-1: status: state is missing"},
		"a task in an unknown state":  {taskWith(&pb.TaskStatus{State: 13}), "task.status.state: unknown value 13"},
		"a time that is none":         {taskWith(&pb.TaskStatus{State: 1, Since: &timestamppb.Timestamp{Nanos: -1}}), "task.status.since: "},
		"an exit at a time far away":  {taskWith(&pb.TaskStatus{State: 1, Last: &pb.Exit{At: &timestamppb.Timestamp{Seconds: 1 << 40}}}), "task.status.last.at: "},
		"a quantity of unknown kind":  {partitionWith(&pb.Quantity{Type: "cpus", Kind: 4}), "quantity.kind: unknown value 4"},
		"cpus that are ranges":        {partitionWith(&pb.Quantity{Type: "cpus", Ranges: []*pb.Range{{First: 1, Last: 2}}}), `quantity of "cpus": found ranges; want scalar`},
		"ports that are a number":     {partitionWith(&pb.Quantity{Type: "ports", Scalar: 3}), `quantity of "ports": found scalar; want ranges`},
		"ranges and a number":         {partitionWith(&pb.Quantity{Type: "x", Scalar: 3, Ranges: []*pb.Range{{First: 1, Last: 2}}}), "want one of"},
		"members where ranges belong": {partitionWith(&pb.Quantity{Type: "x", Kind: 2, Members: []string{"a"}}), "want one of"},
		"ranges that are inverted":    {partitionWith(&pb.Quantity{Type: "x", Ranges: []*pb.Range{{First: 2, Last: 1}}}), `partition p1: quantity of "x"`},
		"a member twice":              {partitionWith(&pb.Quantity{Type: "x", Members: []string{"a", "a"}}), `partition p1: quantity of "x"`},
		"a pool of a type twice": {
			&pb.Record{Record: &pb.Record_Pool{Pool: &pb.Pool{Id: "web", Quantities: []*pb.Quantity{{Type: "mem"}, {Type: "mem"}}}}}, "pool web: ",
		},
		"a claim of a wrong quantity": {
			&pb.Record{Record: &pb.Record_Task{Task: &pb.Task{Id: "web-1-1", Agent: "a1", Slices: []*pb.Slice{
				{Partition: "p1", Quantity: &pb.Quantity{Ranges: []*pb.Range{{First: 2, Last: 1}}}},
			}}}}, "task web-1-1: slice of p1: ",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			record, err := wire.ToRecord(tc.record)

			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error = %v, want one that says %q", err, tc.says)
			}
			if record != nil {
				t.Errorf("with the error came %+v", record)
			}
		})
	}
}

func TestRefusedParts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		refused error
		says    string
	}{
		"no spec":             {second(wire.ToSpec(nil)), "spec is missing"},
		"an unknown probe":    {second(wire.ToSpec(&pb.Spec{Kind: 1, Name: "web", Alive: &pb.Probe{Kind: 9}})), "spec web: alive.kind: unknown value 9"},
		"no status":           {second(wire.ToStatus(nil)), "state is missing"},
		"an unknown state":    {second(wire.ToStatus(&pb.TaskStatus{State: -2})), "state: unknown value -2"},
		"an unknown quantity": {second(wire.ToPartitions(&pb.Agent{Partitions: []*pb.Partition{{Quantity: &pb.Quantity{Kind: 8}}}})), "partitions[0].quantity.kind: unknown value 8"},
		"garbage":             {second(wire.Unmarshal([]byte("\xff garbage"))), "proto"},
		"nothing":             {second(wire.Unmarshal(nil)), "kind that this version does not know"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.refused == nil || !strings.Contains(tc.refused.Error(), tc.says) {
				t.Errorf("error = %v, want one that says %q", tc.refused, tc.says)
			}
		})
	}
}

// second is the error of an answer whose value does not matter.
func second[T any](_ T, err error) error { return err }

func TestQuantityWithoutKindIsWhatIsThere(t *testing.T) {
	t.Parallel()
	tests := map[string]*pb.Quantity{
		"scalar": {Type: "x", Scalar: 2},
		"ranges": {Type: "x", Ranges: []*pb.Range{{First: 1, Last: 2}}},
		"set":    {Type: "x", Members: []string{"a", "b"}},
	}
	for kind, m := range tests {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()

			_, q, err := wire.ToQuantity(m)

			if err != nil || q.Kind().String() != kind || q.Amount() != 2 {
				t.Errorf("%v is %v of kind %v, %v", m, q, q.Kind(), err)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for i, prefix := range []string{"cluster/", "agents/", "pools/", "services/", "revisions/", "deployments/", "tasks/"} {
		key, err := wire.KeyOf(prefix + "web/1")
		if err != nil || key != (engine.Key{Kind: engine.Kind(i + 1), ID: "web/1"}) || wire.StoreKey(key) != prefix+"web/1" {
			t.Errorf("a key with the prefix %q is %v, %v", prefix, key, err)
		}
		if !wire.IsRecord([]byte(prefix + "web/1")) {
			t.Errorf("with the prefix %q stands no record", prefix)
		}
	}
	for _, key := range []string{"", "/", "tasks", "nothing/web", "/web", "format"} {
		if wire.IsRecord([]byte(key)) {
			t.Errorf("at %q stands a record", key)
		}
	}
	for _, key := range []string{"", "/", "tasks", "tasks/", "nothing/web", "/web", "format"} {
		if got, err := wire.KeyOf(key); err == nil {
			t.Errorf("KeyOf(%q) = %v", key, got)
		}
	}
}
