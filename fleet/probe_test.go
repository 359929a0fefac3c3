package fleet_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/hugepage"
)

// probeVariable makes this program a probe of the API at these addresses, apart
// from all that the benchmark does itself.
const probeVariable = "ALOFT_PROBE"

// The heap of all agents may grow by fleetPercent between two collections, and by
// fleetSpare: those of a cluster have machines of their own, and what they take of this
// one the master has not.
const (
	fleetPercent = 400
	fleetSpare   = 400 << 20 // bytes, by which it may grow at least
	fleetHuge    = 2 << 30   // bytes
)

func TestMain(m *testing.M) {
	if addresses := os.Getenv(probeVariable); addresses != "" {
		if err := serve(strings.Split(addresses, ",")); err != nil {
			panic(err)
		}
		return
	}
	if os.Getenv("GOGC") == "" {
		hugepage.Heap(fleetHuge)
		debug.SetGCPercent(fleetPercent)
		defer runtime.KeepAlive(make([]byte, fleetSpare/fleetPercent*100))
	}
	m.Run()
}

// another returns this program as something else, which is a probe where these variables
// say nothing more.
func (c *masters) another(variables ...string) *exec.Cmd {
	command := exec.CommandContext(c.Context(), os.Args[0])
	command.Env = append(append(os.Environ(), probeVariable+"="+strings.Join(c.apis, ",")), variables...)
	command.Stderr = os.Stderr
	return command
}

// serve is what this program does in place of the benchmarks.
func serve(addresses []string) error {
	if what := os.Getenv(readerVariable); what != "" {
		return serveReader(addresses, what)
	}
	if n, err := strconv.Atoi(os.Getenv(watchersVariable)); err == nil {
		return serveWatchers(addresses[0], n)
	}
	return serveProbe(addresses)
}

// serveProbe calls the API until its input ends, and prints how long that took.
func serveProbe(addresses []string) error {
	c, err := client.New(addresses...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var reads, writes latencies
	var measuring sync.WaitGroup
	measuring.Go(func() {
		reads.measure(ctx, readEvery, func(ctx context.Context) error {
			err := readOnce(ctx, c)
			if connect.CodeOf(err) == connect.CodeNotFound { // of a cluster that is empty
				return nil
			}
			return err
		})
	})
	measuring.Go(func() {
		writes.measure(ctx, writeEvery, func(ctx context.Context) error { return writeOnce(ctx, c) })
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	measuring.Wait()
	return json.NewEncoder(os.Stdout).Encode(probed{
		Reads: reads.took, ReadsFailed: reads.failed, Writes: writes.took, WritesFailed: writes.failed,
	})
}

// How often the API is read and written.
const readEvery, writeEvery = 5 * time.Millisecond, 20 * time.Millisecond

func readOnce(ctx context.Context, c *client.Client) error {
	_, err := c.Cluster().ListTasks(ctx, connect.NewRequest(&pb.ListTasksRequest{Service: "service-0042", PageSize: 10}))
	return err
}

func writeOnce(ctx context.Context, c *client.Client) error {
	pool := &pb.Pool{Id: "probe", Priority: int32(time.Now().UnixMilli() % 1_000)}
	_, err := c.Cluster().SetPool(ctx, connect.NewRequest(&pb.SetPoolRequest{Pool: pool}))
	return err
}

// probed is what a probe has found.
type probed struct {
	Reads, Writes             []time.Duration
	ReadsFailed, WritesFailed int
}

// probe is a process that calls the API all the time.
type probe struct {
	command *exec.Cmd
	input   io.Closer
	output  strings.Builder
}

// probe starts one.
func (c *masters) probe() *probe {
	c.Helper()
	p := &probe{command: c.another()}
	p.command.Stdout = &p.output
	var err error
	if p.input, err = p.command.StdinPipe(); err != nil {
		c.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		c.Fatal(err)
	}
	return p
}

// report ends the probe, and reports what it has found.
func (p *probe) report(b *testing.B, prefix string) {
	b.Helper()
	_ = p.input.Close()
	if err := p.command.Wait(); err != nil {
		b.Fatal(err)
	}
	var found probed
	if err := json.Unmarshal([]byte(p.output.String()), &found); err != nil {
		b.Fatal(err)
	}
	(&latencies{took: found.Reads, failed: found.ReadsFailed}).report(b, prefix+"read")
	(&latencies{took: found.Writes, failed: found.WritesFailed}).report(b, prefix+"write")
	if len(found.Reads) > 0 {
		b.ReportMetric(millis(slices.Max(found.Reads)), prefix+"read-max-ms")
	}
}
