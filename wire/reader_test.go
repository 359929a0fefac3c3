package wire_test

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// checkReader holds a Reader to what Unmarshal returned for the same value.
func checkReader(t interface {
	Helper()
	Fatalf(format string, arguments ...any)
}, reader *wire.Reader, value []byte, record engine.Record, err error,
) {
	t.Helper()
	kept := append([]byte(nil), value...)
	read, failed := reader.Unmarshal(kept)
	clear(kept) // which it does not hold on to
	if (failed == nil) != (err == nil) || err != nil && failed.Error() != err.Error() {
		t.Fatalf("Unmarshal says %v, a Reader %v", err, failed)
	}
	if diff := gocmp.Diff(record, read, same()); err == nil && diff != "" {
		t.Fatalf("a Reader reads it otherwise (-Unmarshal +Reader):\n%s", diff)
	}
}

// TestReaderIsUnmarshal has one Reader read records as they are written, and as
// bytes go wrong.
func TestReaderIsUnmarshal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		reader := new(wire.Reader)
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			written := drawRecord(t)
			value, err := wire.Marshal(written)
			if err != nil {
				t.Fatal(err)
			}

			record, err := wire.Unmarshal(value)

			checkReader(t, reader, value, record, err)
			if !wire.StandsAt(record, []byte(wire.StoreKey(written.Key()))) {
				t.Fatalf("%v does not stand at its own key", written.Key())
			}
			for range 5 {
				spoiled := append([]byte(nil), value...)
				if len(spoiled) == 0 {
					break
				}
				spoiled[rapid.IntRange(0, len(spoiled)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
				record, err := wire.Unmarshal(spoiled)
				checkReader(t, reader, spoiled, record, err)
			}
		}
	})
}

// TestReaderReadsWhatIsNotPlain gives it tasks that only another program would write.
func TestReaderReadsWhatIsNotPlain(t *testing.T) {
	t.Parallel()
	plain := &pb.Task{
		Id: "web-1-1", Service: "web", Revision: 1, Agent: "a1", Ports: map[string]int32{"http": 1}, CreatedAt: wire.FromTime(time.Unix(1, 0)),
		Slices: []*pb.Slice{{Partition: "cpus", Quantity: &pb.Quantity{Kind: 1, Scalar: 100}}},
		Status: &pb.TaskStatus{State: pb.TaskState_TASK_STATE_READY, Since: wire.FromTime(time.Unix(1, 0))},
	}
	inner, err := proto.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	field := func(number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	number := func(at protowire.Number, value uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, at, protowire.VarintType), value)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	for name, value := range map[string][]byte{
		"as it is":                          field(6, inner),
		"the record twice":                  join(field(6, inner), field(6, inner)),
		"a task that was an agent":          join(field(1, nil), field(6, inner)),
		"a task and then an agent":          join(field(6, inner), field(1, nil)),
		"nothing":                           nil,
		"an empty task":                     field(6, nil),
		"a field that nobody knows":         field(6, join(inner, number(77, 1))),
		"a number where a text belongs":     field(6, join(inner, number(1, 1))),
		"a text where a number belongs":     field(6, join(inner, field(3, []byte("1")))),
		"a group":                           field(6, join(inner, []byte{0x9b, 0x06, 0x9c, 0x06})),
		"cut off":                           field(6, inner)[:20],
		"a number of more than 32 bits":     field(6, join(inner, number(5, 1<<40+3))),
		"a bool of 2":                       field(6, join(inner, number(12, 2))),
		"a status in two parts":             field(6, join(inner, field(11, field(8, []byte("slow"))))),
		"a status that says it is unknown":  field(6, join(inner, field(11, number(1, 99)))),
		"a state of 64 bits":                field(6, field(11, number(1, 1<<32+5))),
		"a time in two parts":               field(6, join(inner, field(13, number(2, 7)))),
		"a time of the year 10000":          field(6, join(inner, field(13, number(1, 253_402_300_800)))),
		"a name that is not UTF-8":          field(6, join(inner, field(2, []byte{0xff}))),
		"a reason that is not UTF-8":        field(6, field(11, join(number(1, 5), field(8, []byte{0xff})))),
		"a slice without a quantity":        field(6, join(inner, field(9, nil))),
		"a quantity without a kind":         field(6, join(inner, field(9, field(2, number(2, 5))))),
		"a scalar with a range":             field(6, join(inner, field(9, field(2, join(number(5, 1), field(3, nil)))))),
		"ranges that overlap":               field(6, join(inner, field(9, field(2, join(number(5, 2), field(3, nil), field(3, nil)))))),
		"ranges out of order":               field(6, join(inner, field(9, field(2, join(number(5, 2), field(3, join(number(1, 9), number(2, 9))), field(3, nil)))))),
		"a set":                             field(6, join(inner, field(9, field(2, join(number(5, 3), field(4, []byte("x"))))))),
		"a port twice":                      field(6, join(inner, field(10, join(field(1, []byte("http")), number(2, 2))))),
		"a port with no name and no number": field(6, join(inner, field(10, nil))),
		"an exit in two parts":              field(6, field(11, join(number(1, 5), field(7, number(1, 3)), field(7, number(2, 9))))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			record, err := wire.Unmarshal(value)

			checkReader(t, new(wire.Reader), value, record, err)
		})
	}
}

// TestReaderSharesNames: the names of services, agents and partitions are kept once.
//
//nolint:paralleltest // allocations of other tests would count
func TestReaderSharesNames(t *testing.T) {
	reader := new(wire.Reader)
	var values [][]byte
	for i := range 100 {
		values = append(values, marshalTask(t, i))
	}
	read := func() {
		for _, value := range values {
			if _, err := reader.Unmarshal(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()

	perTask := testing.AllocsPerRun(10, read) / float64(len(values))

	const most = 7 // the task, its name, its slices, its ports with their table, the range of the port
	if perTask > most {
		t.Errorf("a task takes %v allocations; want %d at most", perTask, most)
	}
}

func marshalTask(tb testing.TB, i int) []byte {
	tb.Helper()
	since := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	port, err := resource.RangesOf(resource.Range{First: 20_000, Last: 20_000})
	if err != nil {
		tb.Fatal(err)
	}
	name := id.Task(fmt.Sprintf("web-1-%d", i))
	value, err := wire.Marshal(&engine.Task{
		ID: name, Service: "web", Revision: 1, Ports: engine.Ports{{Name: "http", Number: 20_000}}, CreatedAt: since,
		Claim: ledger.Claim{Task: name, Agent: "a1", Slices: []ledger.Slice{
			{Partition: "cpus", Quantity: resource.Scalar(100)}, {Partition: "mem", Quantity: resource.Scalar(64 << 20)}, {Partition: "ports", Quantity: port},
		}},
		Status: task.Status{State: task.Ready, Since: since, ReadySince: since, Attempt: 1},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// BenchmarkUnmarshal reads a task as a watch does, and as a new leader does.
func BenchmarkUnmarshal(b *testing.B) {
	value := marshalTask(b, 1)
	for name, unmarshal := range map[string]func([]byte) (engine.Record, error){
		"any": wire.Unmarshal, "reader": new(wire.Reader).Unmarshal,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := unmarshal(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
