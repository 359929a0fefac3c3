package fleet_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// BenchmarkReads reads all tasks of a cluster by pages of a list, and everything by
// the first answer of a watch. It reports
//
//	list-ms, watch-ms  the time of one, the middle of several
//	list-MB, watch-MB  of messages
//	list-cpu-s, watch-cpu-s  CPU time of the master, for each
//	list-read-p50-ms, watch-read-p50-ms and so on  of the API while one follows the other
func BenchmarkReads(b *testing.B) {
	s := newScene(b, 1, sessionsSize(100_000))
	s.join()
	time.Sleep(*settleFlag)
	runtime.GC() // the agents' garbage is theirs, not the reader's
	c, err := client.New(s.apis...)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		s.measureReads("list-", func(take func(proto.Message)) { listAll(b, c, 100_000, take) })
		s.measureReads("watch-", func(take func(proto.Message)) { watchAll(b, c, 100_000, take) })
	}
	b.ReportMetric(0, "ns/op")
}

func (s *scene) measureReads(prefix string, read func(take func(proto.Message))) {
	s.Helper()
	const times = 5
	size := 0
	read(func(m proto.Message) { size += proto.Size(m) }) // which takes a quarter as long as reading it
	p, used := s.probe(), s.cpu(0)
	took := several(times, func() { read(ignore) })
	used = s.cpu(0) - used
	p.report(s.B, prefix)
	s.ReportMetric(millis(took), prefix+"ms")
	s.ReportMetric(float64(size)/1e6, prefix+"MB")
	s.ReportMetric(used.Seconds()/times, prefix+"cpu-s")
}

// several returns the middle of how long it takes to do something.
func several(times int, do func()) time.Duration {
	var took []time.Duration
	for range times {
		began := time.Now()
		do()
		took = append(took, time.Since(began))
	}
	return middle(took)
}

// ignore is for a reader who wants no more than that all is there.
func ignore(proto.Message) {}

// listAll reads all pages.
func listAll(b *testing.B, c *client.Client, want int, take func(proto.Message)) {
	b.Helper()
	tasks := 0
	eachPage(b, c, func(page *pb.ListTasksResponse) {
		tasks += len(page.GetTasks())
		take(page)
	})
	if tasks != want {
		b.Fatalf("the list has %d tasks", tasks)
	}
}

// eachPage reads the pages of a list of all tasks.
func eachPage(b *testing.B, c *client.Client, take func(*pb.ListTasksResponse)) {
	b.Helper()
	for token, first := "", true; first || token != ""; first = false {
		page, err := c.Cluster().ListTasks(b.Context(), connect.NewRequest(&pb.ListTasksRequest{PageSize: 5_000, PageToken: token}))
		if err != nil {
			b.Fatal(err)
		}
		take(page.Msg)
		token = page.Msg.GetNextPageToken()
	}
}

// watchAll reads what a watch tells first.
func watchAll(b *testing.B, c *client.Client, want int, take func(proto.Message)) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	stream, err := c.Cluster().Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	records := 0
	for stream.Receive() {
		records += len(stream.Msg().GetChanges())
		take(stream.Msg())
		if stream.Msg().GetSynced() {
			if records < want {
				b.Fatalf("the watch has %d records", records)
			}
			return
		}
	}
	b.Fatal(stream.Err())
}
