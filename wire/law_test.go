package wire_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// same tells values apart in all but whether an empty list or map is nil.
func same() gocmp.Options {
	return gocmp.Options{cmpopts.EquateEmpty(), gocmp.Comparer(func(a, b resource.Vector) bool {
		// A limit of nothing is not the same as none.
		return a.Equal(b) && a.Len() == b.Len()
	})}
}

// over returns m as it is at the other end.
func over[M proto.Message](t *rapid.T, m M) M {
	bytes, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	there := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(bytes, there); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	return there.(M)
}

func checkSame(t *rapid.T, out, back any, err error) {
	if diff := gocmp.Diff(out, back, same()); err != nil || diff != "" {
		t.Fatalf("went out and came back with error %v (-out +back):\n%s", err, diff)
	}
}

func TestRecordsComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := drawRecord(t)

		value, err := wire.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Unmarshal(value)

		checkSame(t, record, back, err)
		key, err := wire.KeyOf(wire.StoreKey(record.Key()))
		checkSame(t, record.Key(), key, err)
		if again := wire.FromRecord(back); !proto.Equal(again, wire.FromRecord(record)) {
			t.Fatalf("sent again it is %v", again)
		}
	})
}

func TestSpecsComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)

		back, err := wire.ToSpec(over(t, wire.FromSpec(s)))

		checkSame(t, s, back, err)
	})
}

func TestStatusesComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawStatus(t)

		back, err := wire.ToStatus(over(t, wire.FromStatus(s)))

		checkSame(t, s, back, err)
	})
}

func TestTablesComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t)

		back := wire.ToTable(over(t, wire.FromTable(table)))

		checkSame(t, table, back, nil)
	})
}

func TestConfirmationsComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		confirmation := drawConfirmation(t)

		back := wire.ToConfirmation(over(t, wire.FromConfirmation(confirmation)))

		checkSame(t, confirmation, back, nil)
	})
}

func TestVectorsComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		vector := drawVector(t)

		back, err := wire.ToVector(wire.FromVector(vector))

		checkSame(t, vector, back, err)
	})
}

func TestPartitionsComeBackEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := drawPartitions(t)
		agent := &pb.Agent{Id: "a1", Partitions: wire.FromPartitions("a1", partitions)}

		back, err := wire.ToPartitions(over(t, agent))

		checkSame(t, partitions, back, err)
	})
}

// TestSpoiledRecordsAreRefused gives one enum, time or duration anywhere in a
// record a value that has no meaning.
func TestSpoiledRecordsAreRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := wire.FromRecord(drawRecord(t))
		places := spoilable(record.ProtoReflect())
		if len(places) == 0 {
			t.Skip("nothing in it can be spoiled")
		}
		if _, err := wire.ToRecord(record); err != nil {
			t.Fatalf("unspoiled it is refused: %v", err)
		}

		rapid.SampledFrom(places).Draw(t, "place")()

		if spoiled, err := wire.ToRecord(record); err == nil {
			t.Fatalf("it is taken for %+v", spoiled)
		}
	})
}

// spoilable returns what spoils one of the values in a message that can be.
func spoilable(m protoreflect.Message) (places []func()) {
	switch value := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return []func(){func() { value.Nanos = -1 }}
	case *durationpb.Duration:
		return []func(){func() { value.Seconds = 1 << 60 }}
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.IsMap():
		case field.Enum() != nil && field.ContainingOneof() == nil:
			places = append(places, func() { m.Set(field, protoreflect.ValueOfEnum(99)) })
		case field.Message() != nil && field.IsList():
			for at := range m.Get(field).List().Len() {
				places = append(places, spoilable(m.Get(field).List().Get(at).Message())...)
			}
		case field.Message() != nil && m.Has(field):
			places = append(places, spoilable(m.Get(field).Message())...)
		}
	}
	return places
}
