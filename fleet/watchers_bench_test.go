package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/fleet"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// The cluster of BenchmarkWatchers.
const (
	watchedAgents = 1_000
	watchedTasks  = 10_000
	watchers      = 1_000
	watchedLook   = 10 * time.Millisecond // how often it is looked whether all tasks run
	lastChange    = "all-have-been-started"
)

// BenchmarkWatchers starts a job of 10,000 copies, and then another one while 1,000
// watchers, each by a connection of its own, are told of everything. It reports
//
//	alone-ms    from the submission until all tasks of the first run
//	watched-ms  the same of the second
//	told-ms     from then until the last watcher has been told that they do
//	told-MB     what the watchers were told together
//	master-cpu-s  CPU time of the master for the second, watchers included
//	watcher-KB  what a watcher adds to the memory of the master
//	cut         how many watchers ended before
func BenchmarkWatchers(b *testing.B) {
	c := newScene(b, 1, fleet.Size{Agents: watchedAgents})
	c.join()
	c.startJob("warm-up", watchedTasks/5)
	for b.Loop() {
		b.ReportMetric(millis(c.startJob("alone", watchedTasks)), "alone-ms")
		time.Sleep(*settleFlag)
		before := c.rss(0)
		w := c.watchAll(watchers)
		time.Sleep(*settleFlag)
		b.ReportMetric(float64(c.rss(0)-before)/1e3/watchers, "watcher-KB")
		used := c.cpu(0)
		b.ReportMetric(millis(c.startJob("watched", watchedTasks)), "watched-ms")
		began := time.Now()
		if _, err := c.client.Cluster().SetPool(b.Context(), connect.NewRequest(&pb.SetPoolRequest{Pool: &pb.Pool{Id: lastChange}})); err != nil {
			b.Fatal(err)
		}
		w.await(b)
		b.ReportMetric(millis(time.Since(began)), "told-ms")
		b.ReportMetric((c.cpu(0) - used).Seconds(), "master-cpu-s")
		b.ReportMetric(float64(w.bytes.Load())/1e6, "told-MB")
		b.ReportMetric(float64(w.cut.Load()), "cut")
	}
	b.ReportMetric(0, "ns/op")
}

// startJob submits a job and returns how long it took until all of its copies ran.
func (c *scene) startJob(name string, copies int) time.Duration {
	c.Helper()
	before, began := c.tasksRunning(c.Context()), time.Now()
	spec := fmt.Sprintf("job: %s\ncopies: %d\nresources: {cpus: 0.05, mem: 32MiB}\nrun: {command: [./work]}\n", name, copies)
	if err := c.deploy(c.Context(), spec); err != nil {
		c.Fatal(err)
	}
	for c.tasksRunning(c.Context()) < before+copies {
		if time.Sleep(watchedLook); time.Since(began) > time.Minute {
			c.Fatalf("%d copies of %s do not run within a minute", copies, name)
		}
	}
	return time.Since(began)
}

// crowd is watchers that read what they are told, and do not look at it.
type crowd struct {
	watching   errgroup.Group
	bytes, cut atomic.Int64
}

// asBytes is a message that is sent as it is, and of one that comes no more than how long it is and
// whether it tells of the last change: what readers do with theirs, they do elsewhere.
type asBytes struct {
	text []byte
	size int
	last bool
}

// Name and the others make asBytes a codec.
func (asBytes) Name() string                        { return "proto" }
func (asBytes) Marshal(message any) ([]byte, error) { return message.(*asBytes).text, nil }
func (asBytes) Unmarshal(text []byte, into any) error {
	*into.(*asBytes) = asBytes{size: len(text), last: bytes.Contains(text, []byte(lastChange))}
	return nil
}

// watchAll begins so many watches of everything that changes from now on.
func (c *scene) watchAll(n int) *crowd {
	c.Helper()
	info, err := c.client.Cluster().GetInfo(c.Context(), connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		c.Fatal(err)
	}
	text, err := proto.Marshal(&pb.WatchRequest{FromRevision: info.Msg.GetRevision()})
	if err != nil {
		c.Fatal(err)
	}
	ask, w := &asBytes{text: text}, &crowd{}
	ctx, stop := context.WithCancel(c.Context())
	c.Cleanup(stop)
	for range n {
		w.watching.Go(func() error {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			at := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			defer at.CloseIdleConnections()
			err := w.watch(ctx, connect.NewClient[asBytes, asBytes](at, "http://"+c.apis[0]+aloftv1connect.ClusterServiceWatchProcedure, connect.WithCodec(asBytes{}), connect.WithAcceptCompression("gzip", nil, nil)), ask)
			if err != nil {
				w.cut.Add(1)
			}
			return err
		})
	}
	return w
}

// watch reads until it is told of the last change.
func (w *crowd) watch(ctx context.Context, at *connect.Client[asBytes, asBytes], ask *asBytes) error {
	stream, err := at.CallServerStream(ctx, connect.NewRequest(ask))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		w.bytes.Add(int64(stream.Msg().size))
		if stream.Msg().last {
			return nil
		}
	}
	return errors.Join(stream.Err(), errors.New("a watch ended before the last change"))
}

// await waits until all have been told of the last change, or have been cut.
func (w *crowd) await(b *testing.B) {
	b.Helper()
	if err := w.watching.Wait(); err != nil {
		b.Errorf("%d of the watchers: %v", w.cut.Load(), err)
	}
}
