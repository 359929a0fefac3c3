package fleet_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/fleet"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
)

// large is the cluster of BenchmarkNewLeader: 100,000 tasks on 20,000 agents, or as
// many as ALOFT_AGENTS says.
var large = fleet.Size{Agents: numberWanted("ALOFT_AGENTS", 20_000), Services: 100, Instances: 1_000}

// numberWanted returns what the variable says, or what is usual.
func numberWanted(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		return n
	}
	return usual
}

// BenchmarkNewLeader kills the leading master of a large cluster with SIGKILL
// and measures the next one: the only master, started again, or one of the two
// that stood by. It reports
//
//	working-ms  from the kill, or the new start, to the answer to a write
//	joined-ms   from then until the last agent is back, which is durable
//	working-max-ms, joined-max-ms  the longest
//	read-p50-ms, read-p99-ms, write-p50-ms, write-p99-ms  of the API until then
//	reads, writes  how many calls that were
//	first-ms    how long all agents took to join at the beginning
//	rss-MB      of the leader in the end
//	join-cpu-s, fleet-cpu-s  CPU time of the new leader, and of all agents, from
//	            when a write was answered until the last agent was back: the last time
//
// Nothing may be lost: in the end every task is as it was.
func BenchmarkNewLeader(b *testing.B) {
	for _, masters := range []int{1, 3} {
		b.Run(fmt.Sprintf("masters=%d", masters), func(b *testing.B) { benchmarkNewLeader(b, masters) })
	}
}

// BenchmarkLoadOfAMillion kills the only master of 1,000,000 tasks on 10,000 agents, or
// of as many tasks as ALOFT_TASKS says, and starts it again: without the agents, so that
// it is the load alone. It reports
//
//	working-ms      from the new start to the answer to a write, etcd's own start included
//	working-max-ms  the longest
//	rss-MB          of the leader then
func BenchmarkLoadOfAMillion(b *testing.B) {
	const each = 1_000
	services := max(1, numberWanted("ALOFT_TASKS", 1_000_000)/each)
	c := newScene(b, 1, fleet.Size{Agents: 10_000, Services: services, Instances: each})
	c.rest = nil // a million records, which nothing here asks for again
	var working []time.Duration
	for b.Loop() {
		c.kill(0)
		began := time.Now()
		c.start(0)
		c.awaitWrite()
		working = append(working, time.Since(began))
		b.Logf("working after %v", working[len(working)-1])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(millis(middle(working)), "working-ms")
	b.ReportMetric(millis(slices.Max(working)), "working-max-ms")
	b.ReportMetric(float64(c.rss(0))/1e6, "rss-MB")
}

func benchmarkNewLeader(b *testing.B, masters int) {
	b.Helper()
	c := newScene(b, masters, large)
	b.ReportMetric(float64(c.join().Milliseconds()), "first-ms")

	var working, joined []time.Duration
	var reads, writes latencies
	for b.Loop() {
		former := c.leader()
		epoch := c.epoch()
		c.kill(former)
		began := time.Now()
		if masters == 1 {
			c.start(former)
		}
		c.awaitWrite()
		working = append(working, time.Since(began))
		began = time.Now()
		at := c.leader()
		used, own := c.cpu(at), cpuOf(b, os.Getpid())
		next := c.epoch()
		if next <= epoch {
			b.Fatalf("epoch %d follows %d", next, epoch)
		}
		asking, enough := context.WithCancel(b.Context())
		var asked sync.WaitGroup
		asked.Go(func() {
			reads.measure(asking, readEvery, func(ctx context.Context) error { return readOnce(ctx, c.client) })
		})
		asked.Go(func() {
			writes.measure(asking, writeEvery, func(ctx context.Context) error { return writeOnce(ctx, c.client) })
		})
		c.joined(next)
		joined = append(joined, time.Since(began))
		b.ReportMetric((c.cpu(at) - used).Seconds(), "join-cpu-s")
		b.ReportMetric((cpuOf(b, os.Getpid()) - own).Seconds(), "fleet-cpu-s")
		enough()
		asked.Wait()
		b.Logf("working after %v, all joined %v later; %d sessions broke so far", working[len(working)-1], joined[len(joined)-1], c.agents.Broken())
		if masters > 1 {
			c.start(former)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(millis(middle(working)), "working-ms")
	b.ReportMetric(millis(slices.Max(working)), "working-max-ms")
	b.ReportMetric(millis(middle(joined)), "joined-ms")
	b.ReportMetric(millis(slices.Max(joined)), "joined-max-ms")
	reads.report(b, "read")
	writes.report(b, "write")
	b.ReportMetric(float64(c.rss(c.leader()))/1e6, "rss-MB")
	c.checkNothingLost(c.rest.Records)
}

// masters are masters of the real binary.
type masters struct {
	*testing.B

	binary, dir string
	apis, peers []string
	running     []*exec.Cmd
	client      *client.Client
}

func newMasters(b *testing.B, n int) *masters {
	b.Helper()
	c := &masters{B: b, dir: b.TempDir(), running: make([]*exec.Cmd, n)}
	c.binary = os.Getenv("ALOFT_BINARY")
	if c.binary == "" {
		c.binary = filepath.Join(c.dir, "aloft")
		build := exec.CommandContext(b.Context(), "go", "build", "-o", c.binary, "../cmd/aloft")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			b.Fatalf("go build: %v\n%s", err, output)
		}
	}
	for range n {
		c.apis = append(c.apis, freeAddress(b))
		c.peers = append(c.peers, "http://"+freeAddress(b))
	}
	var err error
	if c.client, err = client.New(c.apis...); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.client.Close()
		for i := range c.running {
			if c.running[i] != nil {
				c.kill(i)
			}
		}
	})
	return c
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (*masters) name(i int) string { return "m" + strconv.Itoa(i+1) }

// fill writes records into the store of the masters, before they run.
func (c *masters) fill(records []engine.Record) {
	c.Helper()
	all := make(map[string]string)
	if len(c.apis) > 1 {
		for i, peer := range c.peers {
			all[c.name(i)] = peer
		}
	}
	stores := make([]*store.Store, len(c.apis))
	var opening sync.WaitGroup
	for i := range stores {
		opening.Go(func() {
			cfg := store.Config{DataDir: filepath.Join(c.dir, c.name(i), "etcd"), Cluster: all}
			if len(all) > 0 {
				cfg.Name = c.name(i)
			}
			var err error
			if stores[i], err = store.Open(c.Context(), cfg); err != nil {
				c.Error(err)
			}
		})
	}
	opening.Wait()
	if c.Failed() {
		c.FailNow()
	}
	if err := master.Fill(c.Context(), stores[0], records); err != nil {
		c.Fatal(err)
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *masters) start(i int) {
	c.Helper()
	arguments := []string{
		"master", "--name", c.name(i), "--listen", c.apis[i], "--data-dir", filepath.Join(c.dir, c.name(i)), "--log-level", "warn", "--pprof",
	}
	if len(c.apis) > 1 {
		var all []string
		for j, peer := range c.peers {
			all = append(all, c.name(j)+"="+peer)
		}
		arguments = append(arguments, "--cluster", strings.Join(all, ","))
	}
	command := exec.Command(c.binary, arguments...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		c.Fatal(err)
	}
	c.running[i] = command
}

func (c *masters) kill(i int) {
	_ = c.running[i].Process.Signal(syscall.SIGKILL)
	_ = c.running[i].Wait() // killed
	c.running[i] = nil
}

// leader returns the number of the master that leads.
func (c *masters) leader() int {
	c.Helper()
	if len(c.apis) == 1 {
		return 0
	}
	leading := -1
	until(c.B, "one of several masters leads", func() bool {
		answer, err := c.client.Cluster().GetInfo(c.Context(), connect.NewRequest(&pb.GetInfoRequest{}))
		if err == nil {
			leading = slices.IndexFunc(c.running, func(m *exec.Cmd) bool { return m != nil && slices.Contains(m.Args, answer.Msg.GetMaster()) })
		}
		return leading >= 0
	})
	return leading
}

func (c *masters) epoch() uint64 {
	c.Helper()
	answer, err := c.client.Cluster().GetInfo(c.Context(), connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		c.Fatal(err)
	}
	return answer.Msg.GetEpoch()
}

// awaitWrite waits until a write is answered.
func (c *masters) awaitWrite() {
	c.Helper()
	until(c.B, "a write is answered", func() bool {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		return writeOnce(ctx, c.client) == nil
	})
}

func (c *masters) rss(i int) int64 {
	c.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.running[i].Process.Pid))
	if err != nil {
		c.Fatal(err)
	}
	const resident = 1
	pages, err := strconv.ParseInt(strings.Fields(string(text))[resident], 10, 64)
	if err != nil {
		c.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// checkNothingLost compares every task with what it was.
func (c *masters) checkNothingLost(records []engine.Record) {
	c.Helper()
	wanted := make(map[string]bool)
	for _, record := range records {
		if t, ok := record.(*engine.Task); ok {
			wanted[string(t.ID)] = true
		}
	}
	err := eachPage(c.Context(), c.client, func(page *pb.ListTasksResponse) {
		for _, t := range page.GetTasks() {
			if s := t.GetStatus(); !wanted[t.GetId()] || s.GetState() != pb.TaskState_TASK_STATE_READY || s.GetAttempt() != 1 {
				c.Fatalf("task %s is %v", t.GetId(), s)
			}
			delete(wanted, t.GetId())
		}
	})
	if err != nil {
		c.Fatal(err)
	}
	if len(wanted) > 0 {
		c.Fatalf("%d tasks are gone", len(wanted))
	}
}

// latencies are how long calls took, whether they succeeded or not.
type latencies struct {
	mu     sync.Mutex // guards all below
	took   []time.Duration
	failed int
}

// measure begins a call every so often, whatever became of those before, until
// ctx is done.
func (l *latencies) measure(ctx context.Context, every time.Duration, call func(context.Context) error) {
	var calling sync.WaitGroup
	defer calling.Wait()
	due := time.NewTicker(every)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
		calling.Go(func() {
			began := time.Now()
			err := call(context.WithoutCancel(ctx))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.took = append(l.took, time.Since(began))
			if err != nil {
				l.failed++
			}
		})
	}
}

func (l *latencies) report(b *testing.B, what string) {
	b.Helper()
	b.ReportMetric(millis(percentile(l.took, 50)), what+"-p50-ms")
	b.ReportMetric(millis(percentile(l.took, 99)), what+"-p99-ms")
	b.ReportMetric(float64(len(l.took)), what+"s")
	if l.failed > 0 {
		b.Errorf("%d of %d calls of the API failed: %s", l.failed, len(l.took), what)
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func middle(list []time.Duration) time.Duration { return percentile(list, 50) }

func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)*p/100]
}

// until waits for what must come.
func until(b *testing.B, what string, is func() bool) {
	b.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			b.Fatalf("not within two minutes: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
