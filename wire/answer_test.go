package wire_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// TestListedTasksAreMessages: the short way to the bytes of a list leads where the one
// through its messages does.
func TestListedTasksAreMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.ListTasksResponse{NextPageToken: drawText(t, "token")}
		var answer []byte
		for range rapid.IntRange(0, 3).Draw(t, "tasks") {
			record := drawTask(t).(*engine.Task)
			want.Tasks = append(want.Tasks, wire.FromTask(record))
			answer = must(wire.AppendListed(answer, record))
		}
		answer = append(answer, must(proto.Marshal(&pb.ListTasksResponse{NextPageToken: want.GetNextPageToken()}))...)

		var got pb.ListTasksResponse
		if err := proto.Unmarshal(answer, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
			t.Fatalf("(-messages +bytes):\n%s", diff)
		}
	})
}

// TestWatchedChangesAreMessages is the same for a watch.
func TestWatchedChangesAreMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tail := &pb.WatchResponse{Revision: rapid.Int64().Draw(t, "revision"), Synced: rapid.Bool().Draw(t, "synced")}
		want := proto.CloneOf(tail)
		var answer []byte
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			record := drawRecord(t)
			change := engine.Change{Key: record.Key()}
			if rapid.Bool().Draw(t, "there") {
				change.Record = record
				want.Changes = append(want.Changes, &pb.WatchChange{Record: wire.FromRecord(record)})
			} else {
				want.Changes = append(want.Changes, &pb.WatchChange{Deleted: wire.StoreKey(change.Key)})
			}
			answer = must(wire.AppendChange(answer, change))
		}
		answer = append(answer, must(proto.Marshal(tail))...)

		var got pb.WatchResponse
		if err := proto.Unmarshal(answer, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
			t.Fatalf("(-messages +bytes):\n%s", diff)
		}
		revision, synced, err := wire.WatchHead(answer)
		if err != nil || revision != tail.GetRevision() || synced != tail.GetSynced() {
			t.Fatalf("its head is revision %d, synced %v, %v; want %v", revision, synced, err, tail)
		}
	})
}

func TestTextsOfAnswersAreUTF8(t *testing.T) {
	t.Parallel()
	wrong := &engine.Task{ID: "web-1-1", Service: "web\xff"}

	if answer, err := wire.AppendListed([]byte("a"), wrong); err == nil || string(answer) != "a" {
		t.Errorf("it was listed: %q, %v", answer, err)
	}
	if answer, err := wire.AppendChange([]byte("a"), engine.Change{Key: wrong.Key(), Record: wrong}); err == nil || string(answer) != "a" {
		t.Errorf("it was watched: %q, %v", answer, err)
	}
	if _, _, err := wire.WatchHead([]byte{0xff}); err == nil {
		t.Error("what is no message has a head")
	}
}

// usualTask is like most tasks of a large cluster.
func usualTask() *engine.Task {
	ports := must(resource.RangesOf(resource.Range{First: 20_001, Last: 20_001}))
	since := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return &engine.Task{
		ID: "service-0042-1-17", Service: "service-0042", Revision: 1, Ports: engine.Ports{{Name: "http", Number: 20_001}}, CreatedAt: since,
		Status: task.Status{State: task.Ready, Since: since, ReadySince: since, Attempt: 1},
		Claim: ledger.Claim{Task: "service-0042-1-17", Agent: "agent-000042", Slices: []ledger.Slice{
			{Partition: "cpus", Quantity: resource.Scalar(100)},
			{Partition: "mem", Quantity: resource.Scalar(64 << 20)},
			{Partition: "ports", Quantity: ports},
		}},
	}
}

func BenchmarkAppendListed(b *testing.B) {
	listed, answer := usualTask(), make([]byte, 0, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.AppendListed(answer, listed); err != nil {
			b.Fatal(err)
		}
	}
}
