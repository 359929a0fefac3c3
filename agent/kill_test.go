package agent_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/supervisor"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestAnAgentThatIsKilled, and one that takes its place: the program runs on,
// and it stays ready.
func TestAnAgentThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orders := runOrders(service(command("sleep", "1000")), "web-1")
	killed, lines := agentProcess(t, dir, orders)
	for line := ""; line != "web-1 ready 1"; {
		if !lines.Scan() {
			t.Fatalf("the agent said %q and no more", line)
		}
		line = lines.Text()
	}
	checkLocked(t, dir)
	before := onlyProgram(t, dir)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed

	m := newMachine(t, dir)
	m.until("a join", func() bool { joins, _, _ := m.counts(); return joins > 0 })

	if _, tasks := m.lastJoin(); tasks["web-1"] != "ready 1" {
		t.Errorf("the first join says %v", tasks)
	}
	m.order(orders) // as the master repeats it
	m.order(&pb.Orders{Run: orders.GetRun()[:0]})
	after, err := m.runtime.List(t.Context())
	if err != nil || len(after) != 1 || after[0].PID != before.PID || after[0].Exit != nil {
		t.Errorf("the program was %+v, and now there are %+v, %v", before, after, err)
	}
	m.order(&pb.Orders{Stop: []*pb.StopOrder{{Task: "web-1"}}})
	m.becomes("web-1", "stopped 1")
}

// agentProcess starts an agent in a process of its own.
func agentProcess(t *testing.T, dir string, orders *pb.Orders) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	text, err := protojson.Marshal(orders)
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), "/proc/self/exe", dir)
	process.Env = append(os.Environ(), role+"=agent")
	process.Stdin, process.Stderr = strings.NewReader(string(text)), os.Stderr
	stdout, err := process.StdoutPipe()
	if err := errors.Join(err, process.Start()); err != nil {
		t.Fatal(err)
	}
	return process, bufio.NewScanner(io.Reader(stdout))
}

// checkLocked: a second agent on the same folder is refused.
func checkLocked(t *testing.T, dir string) {
	t.Helper()
	made, err := newParts(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := agent.New(made.cfg, newMasters(), made.runtime, made.fetcher)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); !errors.Is(err, agent.ErrLocked) {
		t.Errorf("Run of a second agent = %v, want ErrLocked", err)
	}
}

// onlyProgram returns the one program that the supervisor of a folder knows. Its
// agent has nothing more to say then.
func onlyProgram(t *testing.T, dir string) supervisor.Task {
	t.Helper()
	client, err := supervisor.Dial(t.Context(), filepath.Join(dir, "supervisor"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }() // it goes on
	tasks, err := client.List(t.Context())
	if err != nil || len(tasks) != 1 {
		t.Fatalf("the supervisor has %v, %v", tasks, err)
	}
	return tasks[0]
}
