package process_test

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/process"
)

func TestFindReadsThisProcess(t *testing.T) {
	t.Parallel()

	self, err := process.Find(os.Getpid())

	if err != nil || self.PID != os.Getpid() || self.Parent != os.Getppid() || self.RSS < 1<<20 {
		t.Errorf("Find = %+v, %v; want process %d of %d with some memory", self, err, os.Getpid(), os.Getppid())
	}
	if !strings.Contains(self.Command, os.Args[0]) {
		t.Errorf("its command is %q, want %q in it", self.Command, os.Args[0])
	}
}

func TestFindAfterTheEnd(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "true")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}

	_, err := process.Find(command.Process.Pid)

	if err == nil {
		t.Error("a process that is gone was found")
	}
}

// TestNothingIsLeft runs alone: it kills every descendant of the test.
func TestNothingIsLeft(t *testing.T) {
	if err := process.Adopt(); err != nil {
		t.Fatal(err)
	}
	// The shell starts a process in a session of its own, tells its PID, and ends.
	shell := exec.CommandContext(t.Context(), "sh", "-c", "BENCH_MARK=here setsid sleep 600 & echo $!; exec sleep 600")
	stdout, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return has(t, "BENCH_MARK=here", orphan) })
	if err := shell.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = shell.Wait()
	if !has(t, "BENCH_MARK=here", orphan) {
		t.Fatal("the orphan is not among the descendants")
	}

	killed, err := process.KillDescendants()

	if err != nil || !slices.ContainsFunc(killed, func(p process.Process) bool { return p.PID == orphan }) {
		t.Errorf("KillDescendants = %+v, %v; want the orphan %d", killed, err, orphan)
	}
	if err := syscall.Kill(orphan, 0); err == nil {
		t.Error("the orphan is still there")
	}
}

func has(t *testing.T, variable string, pid int) bool {
	t.Helper()
	found, err := process.WithVariable(variable)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(found, func(p process.Process) bool { return p.PID == pid })
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatal("it did not come to pass")
		}
	}
}
