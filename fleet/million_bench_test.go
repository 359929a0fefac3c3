package fleet_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/fleet"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// The cluster of BenchmarkMillion, and how often a service is deployed meanwhile.
const (
	millionJobs     = 100
	submittedAtOnce = 10
	millionWithin   = 10 * time.Minute

	probeEvery, watchEvery = 500 * time.Millisecond, 100 * time.Millisecond
	// How often it is asked whether a service is in service: many that wait for long must
	// not take the machine for it.
	askFirst, askMost = 10 * time.Millisecond, 80 * time.Millisecond
)

// BenchmarkMillion submits a hundred jobs that have 1,000,000 copies together, or as
// many as ALOFT_TASKS says, to a master with 5,000 agents in sessions of their own, or
// as many as ALOFT_AGENTS says, and waits until the master says of all of them that
// they run. Meanwhile it deploys services of one instance. It reports
//
//	running-ms  from the first submission until all tasks are reported running
//	submit-ms   from the first submission until the last one is answered
//	first-ms    how long all agents took to join at the beginning
//	probe-p50-ms, probe-p99-ms  from the submission of a service to its instance in service
//	probes      how many services that were
//	rss-max-MB  of the master, the most while it went on
//	heap-B/task what a task takes of the master's heap, without that of etcd
//	etcd-B/task what it takes of etcd's
//	disk-B/task what the master's folder takes
//	master-cpu-s, fleet-cpu-s  of processor time from the first submission on
//	broken      sessions that have broken
func BenchmarkMillion(b *testing.B) {
	size := fleet.Size{Agents: numberWanted("ALOFT_AGENTS", 5_000)}
	tasks := numberWanted("ALOFT_TASKS", 1_000_000)
	for b.Loop() {
		benchmarkMillion(b, size, tasks/millionJobs*millionJobs)
	}
	b.ReportMetric(0, "ns/op")
}

func benchmarkMillion(b *testing.B, size fleet.Size, tasks int) {
	b.Helper()
	c := newScene(b, 1, size)
	b.ReportMetric(float64(c.join().Milliseconds()), "first-ms")
	defer c.leave()
	ctx := b.Context()
	heap, etcdHeap := c.heap(ctx)
	c.launch(ctx, tasks)
	heapAfter, etcdAfter := c.heap(ctx)
	b.ReportMetric((heapAfter-heap)/float64(tasks), "heap-B/task")
	b.ReportMetric((etcdAfter-etcdHeap)/float64(tasks), "etcd-B/task")
	b.ReportMetric(c.disk()/float64(tasks), "disk-B/task")
	b.ReportMetric(float64(c.agents.Broken()), "broken")
	if c.agents.Running() < tasks {
		b.Errorf("the agents run %d tasks of %d", c.agents.Running(), tasks)
	}
}

// launch submits the jobs, and returns when all of their tasks run.
func (c *masters) launch(ctx context.Context, tasks int) {
	c.Helper()
	probing, enough := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer enough()
	var probes latencies
	ownCPU, masterCPU := cpuOf(c.B, os.Getpid()), c.cpu(0)
	began := time.Now()
	beside.Go(func() {
		n := 0
		probes.measure(probing, probeEvery, func(ctx context.Context) error {
			n++
			return c.deployProbe(ctx, fmt.Sprintf("probe-%d", n))
		})
	})
	c.submit(ctx, tasks)
	c.ReportMetric(float64(time.Since(began).Milliseconds()), "submit-ms")
	var most int64
	told := time.Now()
	for last := 0; last < tasks; {
		time.Sleep(watchEvery)
		most = max(most, c.rss(0))
		last = c.tasksRunning(ctx)
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			c.Logf("%d of %d run after %v; %d MB", last, tasks, time.Since(began).Round(time.Millisecond), most/1e6)
		}
		if time.Since(began) > millionWithin {
			c.Fatalf("%d of %d run after %v", last, tasks, time.Since(began))
		}
	}
	took := time.Since(began)
	enough()
	beside.Wait()
	c.ReportMetric(float64(took.Milliseconds()), "running-ms")
	c.ReportMetric((c.cpu(0) - masterCPU).Seconds(), "master-cpu-s")
	c.ReportMetric((cpuOf(c.B, os.Getpid()) - ownCPU).Seconds(), "fleet-cpu-s")
	c.ReportMetric(float64(most)/1e6, "rss-max-MB")
	probes.report(c.B, "probe")
}

// submit submits the jobs, each as soon as one of those before has been answered.
func (c *masters) submit(ctx context.Context, tasks int) {
	c.Helper()
	submitting, ctx := errgroup.WithContext(ctx)
	submitting.SetLimit(submittedAtOnce)
	for job := range millionJobs {
		submitting.Go(func() error {
			return c.deploy(ctx, fmt.Sprintf("job: million-%03d\ncopies: %d\nresources: {cpus: 0.05, mem: 32MiB}\nrun: {command: [./work]}\n", job, tasks/millionJobs))
		})
	}
	if err := submitting.Wait(); err != nil {
		c.Fatal(err)
	}
}

// deploy submits a spec.
func (c *masters) deploy(ctx context.Context, spec string) error {
	_, err := c.client.Cluster().Deploy(ctx, connect.NewRequest(&pb.DeployRequest{Files: []*pb.SpecFile{{Name: "spec.yaml", Text: []byte(spec)}}}))
	return err
}

// deployProbe submits a service and returns when its instance is in service.
func (c *masters) deployProbe(ctx context.Context, name string) error {
	if err := c.deploy(ctx, fmt.Sprintf("service: %s\nresources: {cpus: 0.1, mem: 32MiB}\nrun: {command: [./serve]}\n", name)); err != nil {
		return err
	}
	for pause := askFirst; ; pause = min(2*pause, askMost) {
		page, err := c.client.Cluster().ListTasks(ctx, connect.NewRequest(&pb.ListTasksRequest{Service: name}))
		if err != nil {
			return err
		}
		for _, t := range page.Msg.GetTasks() {
			if t.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY {
				return nil
			}
		}
		time.Sleep(pause)
	}
}

// tasksRunning returns how many tasks of jobs run, as the master counts them.
func (c *masters) tasksRunning(ctx context.Context) int {
	c.Helper()
	answer := c.get(ctx, "/metrics")
	defer func() { _ = answer.Close() }()
	for lines := bufio.NewScanner(answer); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), `aloft_master_tasks{state="running"} `); found {
			n, _ := strconv.ParseFloat(text, 64) // it prints numbers
			return int(n)
		}
	}
	return 0
}

// get returns what the master answers to a plain request.
func (c *masters) get(ctx context.Context, path string) io.ReadCloser {
	c.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.apis[0]+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		c.Fatalf("%s: %s", path, answer.Status)
	}
	return answer.Body
}

// heap returns how many bytes are alive on the master's heap, those that etcd or
// what is below it asked for apart.
func (c *masters) heap(ctx context.Context) (own, etcd float64) {
	c.Helper()
	answer := c.get(ctx, "/debug/pprof/heap?gc=1&debug=1")
	defer func() { _ = answer.Close() }()
	const sampleEvery = 512 << 10 // bytes, on average
	var bytes float64
	ofEtcd := false
	add := func() {
		if ofEtcd {
			etcd += bytes
		} else {
			own += bytes
		}
		bytes, ofEtcd = 0, false
	}
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var objects, inUse float64
		if n, _ := fmt.Sscanf(lines.Text(), "%g: %g [", &objects, &inUse); n == 2 {
			add()
			if objects > 0 {
				bytes = inUse / (1 - math.Exp(-inUse/objects/sampleEvery))
			}
		}
		ofEtcd = ofEtcd || strings.Contains(lines.Text(), "go.etcd.io/")
	}
	add()
	return own, etcd
}

// disk returns how many bytes the master's folder takes.
func (c *masters) disk() float64 {
	c.Helper()
	output, err := exec.CommandContext(c.Context(), "du", "-s", "--block-size=1", c.dir).Output()
	if err != nil {
		c.Fatal(err)
	}
	bytes, _, _ := strings.Cut(string(output), "\t")
	n, err := strconv.ParseFloat(bytes, 64)
	if err != nil {
		c.Fatal(err)
	}
	return n
}

// cpu is the CPU time that a master has used.
func (c *masters) cpu(i int) time.Duration {
	c.Helper()
	return cpuOf(c.B, c.running[i].Process.Pid)
}

// cpuOf returns how much processor time a process has taken.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	if pid == os.Getpid() {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	const user, ticksPerSecond = 11, 100 // after the name in parentheses
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+2:])
	ticks := 0
	for _, field := range fields[user : user+2] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond)
}
