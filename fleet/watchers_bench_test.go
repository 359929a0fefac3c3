package fleet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/client"
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
		told := w.await(b)
		b.ReportMetric(millis(time.Since(began)), "told-ms")
		b.ReportMetric((c.cpu(0) - used).Seconds(), "master-cpu-s")
		b.ReportMetric(float64(told.Bytes)/1e6, "told-MB")
		b.ReportMetric(float64(told.Cut), "cut")
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

// watchersVariable makes this program so many watchers at the first address of probeVariable: what
// they do with what they are told takes no processor from the agents of this one.
const watchersVariable = "ALOFT_WATCHERS"

// told is what all watchers were.
type told struct {
	Bytes, Cut int64
	Problem    string // of one that was cut
}

// watching is a process of watchers.
type watching struct {
	command *exec.Cmd
	output  bytes.Buffer
}

// watchAll begins so many watches of everything that changes from now on, or a little later.
func (c *scene) watchAll(n int) *watching {
	c.Helper()
	w := &watching{command: c.another(watchersVariable + "=" + strconv.Itoa(n))}
	w.command.Stdout = &w.output
	if err := w.command.Start(); err != nil {
		c.Fatal(err)
	}
	return w
}

// await waits until all have been told of the last change, or have been cut.
func (w *watching) await(b *testing.B) (all told) {
	b.Helper()
	if err := w.command.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(w.output.Bytes(), &all); err != nil {
		b.Fatal(err)
	}
	if all.Problem != "" {
		b.Errorf("%d of the watchers: %s", all.Cut, all.Problem)
	}
	return all
}

// serveWatchers is what such a process does. It prints what the watchers were told.
func serveWatchers(address string, n int) error {
	c, err := client.New(address)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.Cluster().GetInfo(context.Background(), connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		return err
	}
	text, err := proto.Marshal(&pb.WatchRequest{FromRevision: info.Msg.GetRevision()})
	if err != nil {
		return err
	}
	ask, w := &asBytes{text: text}, &crowd{}
	for range n {
		w.watching.Go(func() error {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			at := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			defer at.CloseIdleConnections()
			err := w.watch(context.Background(), connect.NewClient[asBytes, asBytes](at, "http://"+address+aloftv1connect.ClusterServiceWatchProcedure, connect.WithCodec(asBytes{}), connect.WithAcceptCompression("gzip", nil, nil)), ask)
			if err != nil {
				w.cut.Add(1)
			}
			return err
		})
	}
	all := told{}
	if err := w.watching.Wait(); err != nil {
		all.Problem = err.Error()
	}
	all.Bytes, all.Cut = w.bytes.Load(), w.cut.Load()
	return json.NewEncoder(os.Stdout).Encode(all)
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
