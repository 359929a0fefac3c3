package master_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/wire"
)

// plainPage is the obvious way to write a page of tasks: one after the other, until it is full.
func plainPage(page []*engine.Task, next string) ([]byte, error) {
	var text []byte
	for i, one := range page {
		var err error
		if text, err = wire.AppendListed(text, one); err != nil {
			return nil, err
		}
		if len(text) >= master.PageBytesMax && i < len(page)-1 {
			next = master.TokenAfter(string(one.ID))
			break
		}
	}
	rest, err := proto.Marshal(&pb.ListTasksResponse{NextPageToken: next})
	return append(text, rest...), err
}

// TestAPageIsAsIfWrittenInOrder: however a page of tasks is written, it has the bytes, ends where it
// would be too large, goes on and breaks as if its tasks had been written one after the other.
func TestAPageIsAsIfWrittenInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 100, 1_000, 3_000, 400_000, 800_000}), 1, 6).Draw(t, "bytes of a task, in turn")
		page := make([]*engine.Task, rapid.SampledFrom([]int{0, 1, 2, 499, 500, 501, 1_001, 5_000}).Draw(t, "tasks"))
		reason := strings.Repeat("r", slices.Max(sizes))
		for i := range page {
			size := sizes[i*len(sizes)/len(page)]
			page[i] = &engine.Task{ID: id.Task(fmt.Sprintf("t-%05d", i)), Service: "s", Status: task.Status{Reason: reason[:size]}}
		}
		if bad := rapid.IntRange(0, 2*len(page)).Draw(t, "one that cannot be written"); bad < len(page) {
			page[bad].Status.Reason = "\xff"
		}
		next := rapid.SampledFrom([]string{"", master.TokenAfter("t-99999")}).Draw(t, "next")

		got, err := master.EncodeTasks(page, next)

		want, broken := plainPage(page, next)
		if (err == nil) != (broken == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v; want %d, %v", len(got), err, len(want), broken)
		}
	})
}
