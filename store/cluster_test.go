package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/aloft-run/aloft/store"
)

// memberConfig, when set, makes this test's program a process that runs one
// member of a cluster.
const memberConfig = "ALOFT_STORE_TEST_MEMBER"

// memberFlags is what of a store.Config such a process is told.
type memberFlags struct {
	DataDir, Name, ListenClient string
	Cluster                     map[string]string
}

// runMember runs the member of memberFlags, in JSON, until its standard input
// ends. It says so when it is ready.
func runMember(config string) error {
	var flags memberFlags
	if err := json.Unmarshal([]byte(config), &flags); err != nil {
		return err
	}
	s, err := store.Open(context.Background(), store.Config{
		DataDir: flags.DataDir, Name: flags.Name, ListenClient: flags.ListenClient, Cluster: flags.Cluster,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // its error, too, is an end
	return s.Close()
}

// process is a member in a process of its own, which can be killed.
type process struct {
	cfg   store.Config
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

// launch starts a member's process, which ends with the test.
func launch(tb testing.TB, cfg store.Config) *process {
	tb.Helper()
	config, err := json.Marshal(memberFlags{
		DataDir: cfg.DataDir, Name: cfg.Name, ListenClient: cfg.ListenClient, Cluster: cfg.Cluster,
	})
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), memberConfig+"="+string(config))
	cmd.Stderr = tb.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &process{cfg: cfg, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	tb.Cleanup(p.kill)
	return p
}

// awaitReady waits until the member serves.
func (p *process) awaitReady(tb testing.TB) {
	tb.Helper()
	if !p.lines.Scan() || p.lines.Text() != "ready" {
		tb.Fatalf("%s did not become ready: %v", p.cfg.Name, p.cmd.Wait())
	}
}

// kill kills the process, if it is there, and waits until it is gone.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// stop has the member close in good order.
func (p *process) stop(tb testing.TB) {
	tb.Helper()
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		tb.Errorf("%s closed with %v", p.cfg.Name, err)
	}
}

// threeProcesses are a cluster whose first member, here, is in this process.
type threeProcesses struct {
	here    *store.Store
	others  map[string]*process
	client  *clientv3.Client // to the member here
	commits int              // that a test has made
}

func startThree(tb testing.TB) *threeProcesses {
	tb.Helper()
	cluster := map[string]string{"m1": freeURL(tb), "m2": freeURL(tb), "m3": freeURL(tb)}
	c := &threeProcesses{others: make(map[string]*process)}
	for _, name := range []string{"m2", "m3"} {
		c.others[name] = launch(tb, store.Config{
			DataDir: tb.TempDir(), Name: name, Cluster: cluster, ListenClient: newSocket(tb),
		})
	}
	socket := newSocket(tb)
	c.here = open(tb, store.Config{DataDir: tb.TempDir(), Name: "m1", Cluster: cluster, ListenClient: socket})
	c.client = etcdClient(tb, socket)
	for _, other := range c.others {
		other.awaitReady(tb)
	}
	return c
}

// leadElsewhere returns the process of the member that leads the raft group,
// which is not the one here: if that leads it hands over.
func (c *threeProcesses) leadElsewhere(tb testing.TB) *process {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	for ctx.Err() == nil {
		status, err := c.client.Status(ctx, c.client.Endpoints()[0])
		if err != nil {
			tb.Fatal(err)
		}
		list, err := c.client.MemberList(ctx)
		if err != nil {
			continue // an election is under way
		}
		for _, member := range list.Members {
			if p := c.others[member.Name]; p != nil && member.ID == status.Leader {
				return p
			}
		}
		for _, member := range list.Members {
			if member.Name == "m2" {
				c.moveLeader(ctx, member.ID)
			}
		}
	}
	tb.Fatal("no other member leads")
	return nil
}

// moveLeader tries for a second to have another member lead.
func (c *threeProcesses) moveLeader(ctx context.Context, id uint64) {
	ctx, done := context.WithTimeout(ctx, time.Second)
	defer done()
	_, _ = c.client.MoveLeader(ctx, id) // the next look shows whether it did
}
