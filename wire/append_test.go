package wire_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/wire"
)

// TestRecordsAreWrittenAsMessages: the short way to the record of a task or an agent leads
// where the one through its message does.
func TestRecordsAreWrittenAsMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SampledFrom([]func(*rapid.T) engine.Record{drawTask, drawAgent}).Draw(t, "kind")(t)

		value, err := wire.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}

		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(wire.FromRecord(record))
		if err != nil || !bytes.Equal(value, want) {
			t.Fatalf("error %v, wrote\n%x\nwant\n%x", err, value, want)
		}
	})
}

func TestTextsOfTasksAreUTF8(t *testing.T) {
	t.Parallel()

	_, err := wire.Marshal(&engine.Task{ID: "web-1-1", Service: "web\xff"})

	if err == nil {
		t.Error("a text that is not UTF-8 was written")
	}
}

func BenchmarkMarshalTask(b *testing.B) {
	record := rapid.Custom(drawTask).Example(7)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Marshal(record); err != nil {
			b.Fatal(err)
		}
	}
}
