package wire_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// FuzzUnmarshal reads anything as a record. What is one comes back the same when
// it is kept again.
func FuzzUnmarshal(f *testing.F) {
	for seed := range 40 {
		record := rapid.Custom(drawRecord).Example(seed)
		value, err := wire.Marshal(record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(value[:len(value)/2])
	}
	for _, m := range []*pb.Record{
		{},
		{Record: &pb.Record_Pool{}},
		{Record: &pb.Record_Agent{}},
		taskWith(&pb.TaskStatus{State: 99}),
		partitionWith(nil), goodSpec(func(s *pb.Spec) { s.Schedule = &pb.Schedule{} }),
		{Record: &pb.Record_Deployment{Deployment: &pb.Deployment{State: 1, Failure: &pb.Failure{}}}},
	} {
		value, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		record, err := wire.Unmarshal(value)
		checkReader(t, new(wire.Reader), value, record, err)
		if err != nil {
			return
		}

		kept, err := wire.Marshal(record)
		if err != nil {
			t.Fatalf("it cannot be kept: %v", err)
		}
		back, err := wire.Unmarshal(kept)

		if diff := gocmp.Diff(record, back, same()); err != nil || diff != "" {
			t.Fatalf("it came back with error %v (-out +back):\n%s", err, diff)
		}
	})
}
