package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// drawAnswer draws an answer that UnmarshalAnswer knows.
func drawAnswer(t *rapid.T) (answer, empty proto.Message) {
	if rapid.Bool().Draw(t, "a list") {
		m := &pb.ListTasksResponse{NextPageToken: drawText(t, "token")}
		for range rapid.IntRange(0, 3).Draw(t, "tasks") {
			m.Tasks = append(m.Tasks, wire.FromTask(drawTask(t).(*engine.Task)))
		}
		return m, &pb.ListTasksResponse{NextPageToken: "of before"}
	}
	m := &pb.WatchResponse{Revision: rapid.Int64().Draw(t, "revision"), Synced: rapid.Bool().Draw(t, "synced")}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		if rapid.Bool().Draw(t, "there") {
			m.Changes = append(m.Changes, &pb.WatchChange{Record: wire.FromRecord(drawRecord(t))})
		} else {
			m.Changes = append(m.Changes, &pb.WatchChange{Deleted: drawText(t, "deleted")})
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "notes") {
		m.Notes = append(m.Notes, &pb.Note{Seq: rapid.Int64().Draw(t, "seq"), Text: drawText(t, "text")})
	}
	return m, &pb.WatchResponse{Revision: 7}
}

// TestAnswersAreReadAsMessages: what is read by the short way is what protobuf reads,
// also of an answer that is broken, or of a version to come.
func TestAnswersAreReadAsMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, got := drawAnswer(t)
		text := must(proto.Marshal(m))
		switch damage := rapid.IntRange(0, 3).Draw(t, "damage"); {
		case damage == 1 && len(text) > 0:
			text[rapid.IntRange(0, len(text)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case damage == 2:
			text = text[:rapid.IntRange(0, len(text)).Draw(t, "end")]
		case damage == 3:
			text = protowire.AppendVarint(protowire.AppendTag(text, 99, protowire.VarintType), 1)
		}
		want := m.ProtoReflect().New().Interface()
		refused := proto.Unmarshal(text, want) != nil

		err := wire.UnmarshalAnswer(text, got)

		if (err != nil) != refused {
			t.Fatalf("it is read with error %v; protobuf refuses it: %v", err, refused)
		}
		if !refused && !proto.Equal(want, got) {
			t.Fatalf("(-protobuf +answer):\n%s", cmp.Diff(want, got, protocmp.Transform()))
		}
	})
}

// TestHalvesAreReadAsOne: an answer that is read side by side is what protobuf reads, wherever
// in it something stands that is no task, or that is broken.
func TestHalvesAreReadAsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := &pb.ListTasksResponse{}
		for range rapid.IntRange(1, 3).Draw(t, "tasks") {
			some.Tasks = append(some.Tasks, wire.FromTask(drawTask(t).(*engine.Task)))
		}
		tasks := must(proto.Marshal(some))
		const pieces = 4
		piece := bytes.Repeat(tasks, 1+wire.ReadApart/len(tasks)/pieces)
		var text []byte
		for range pieces {
			text = append(text, piece...)
			switch rapid.IntRange(0, 5).Draw(t, "what follows") {
			case 0:
				text = protowire.AppendString(protowire.AppendTag(text, 2, protowire.BytesType), drawText(t, "token"))
			case 1:
				text = protowire.AppendVarint(protowire.AppendTag(text, 99, protowire.VarintType), 1)
			}
		}
		if rapid.Bool().Draw(t, "is damaged") {
			text[rapid.IntRange(0, len(tasks)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		want, got := &pb.ListTasksResponse{}, &pb.ListTasksResponse{}
		refused := proto.Unmarshal(text, want) != nil

		err := wire.UnmarshalAnswer(text, got)

		if (err != nil) != refused || !refused && !proto.Equal(want, got) {
			t.Fatalf("of %d tasks and the token %q %d and %q are read: %v; protobuf refuses it: %v",
				len(want.GetTasks()), want.GetNextPageToken(), len(got.GetTasks()), got.GetNextPageToken(), err, refused)
		}
	})
}

func BenchmarkUnmarshalAnswer(b *testing.B) {
	m := &pb.ListTasksResponse{}
	for range 1_000 {
		m.Tasks = append(m.Tasks, wire.FromTask(usualTask()))
	}
	text := must(proto.Marshal(m))
	for name, unmarshal := range map[string]func([]byte, proto.Message) error{"protobuf": proto.Unmarshal, "answer": wire.UnmarshalAnswer} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := unmarshal(text, &pb.ListTasksResponse{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
