package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoNeverRunAtOnce cuts the machine off on which the one instance of a service
// with on_partition: stop runs, and later stops its agent with SIGSTOP. The program
// ignores SIGTERM and writes down when it is there: each has ended before the next
// began, and both machines are of use again afterwards.
//
// The machines are network namespaces, and the cut is the kernel's: no packet comes
// through, and nobody is told.
func TestTwoNeverRunAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.start("master", "m", "master", "--name", "m", "--listen", "0.0.0.0:7117", "--data-dir", filepath.Join(l.dir, "master"))
	for _, name := range []string{"a", "b"} {
		l.start(name, name, "agent", "--id", name, "--master", l.address(name), "--data-dir", filepath.Join(l.dir, name), "--limits", "off")
	}
	l.eventually("both agents are there", func() bool { return l.state("a") == "ready" && l.state("b") == "ready" })
	l.deploy()
	l.eventually("it runs", func() bool { return l.holder() != "" })

	first := l.holder()
	l.cut(first)
	l.eventually("the other one has it", func() bool { return l.holder() == other(first) })
	l.heal(first)
	l.eventually("the first one is back", func() bool { return l.state(first) == "ready" })

	l.signal(other(first), syscall.SIGSTOP)
	l.eventually("the first one has it again", func() bool { return l.holder() == first })
	l.signal(other(first), syscall.SIGCONT)
	l.eventually("the other one is back", func() bool { return l.state(other(first)) == "ready" })

	l.checkRuns(3)
}

func other(name string) string {
	if name == "a" {
		return "b"
	}
	return "a"
}

// lab is a master and two machines, each in a network namespace of its own.
type lab struct {
	*testing.T

	dir, binary string
	mark        string // in the names of its namespaces
	running     map[string]*exec.Cmd
}

// newLab makes the namespaces and the lines between them, or skips the test where
// that cannot be.
func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces and cut them off")
	}
	if output, err := exec.CommandContext(t.Context(), "../../.ci/need", "ip:iproute2", "iptables", "nsenter:util-linux").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces that can be cut off: %v\n%s", err, output)
	}
	l := &lab{
		T: t, dir: t.TempDir(), binary: buildOnce(t), mark: "aloft-" + strconv.Itoa(os.Getpid()), running: make(map[string]*exec.Cmd),
	}
	for _, name := range []string{"m", "a", "b"} {
		if output, err := l.run("ip", "netns", "add", l.space(name)); err != nil {
			t.Skipf("no network namespace: %v\n%s", err, output)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", l.space(name)).Run() })
		l.must("ip", "-n", l.space(name), "link", "set", "lo", "up")
	}
	for _, name := range []string{"a", "b"} {
		host, _, _ := strings.Cut(l.address(name), ":")
		l.must("ip", "-n", l.space("m"), "link", "add", "to-"+name, "type", "veth", "peer", "name", "to-m", "netns", l.space(name))
		l.must("ip", "-n", l.space("m"), "address", "add", host+"/30", "dev", "to-"+name)
		l.must("ip", "-n", l.space("m"), "link", "set", "to-"+name, "up")
		l.must("ip", "-n", l.space(name), "address", "add", strings.TrimSuffix(host, ".1")+".2/30", "dev", "to-m")
		l.must("ip", "-n", l.space(name), "link", "set", "to-m", "up")
	}
	return l
}

func (l *lab) space(name string) string { return l.mark + "-" + name }

// address returns where a machine reaches the master.
func (*lab) address(name string) string {
	return map[string]string{"a": "10.77.1.1:7117", "b": "10.77.2.1:7117"}[name]
}

func (l *lab) run(command ...string) ([]byte, error) {
	l.Helper()
	return exec.CommandContext(l.Context(), command[0], command[1:]...).CombinedOutput()
}

func (l *lab) must(command ...string) {
	l.Helper()
	if output, err := l.run(command...); err != nil {
		l.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, output)
	}
}

// start starts a part of the cluster on a machine. When the test ends, so does the
// part, with all tasks.
func (l *lab) start(name, machine string, arguments ...string) {
	l.Helper()
	log, err := os.Create(filepath.Join(l.dir, name+".log"))
	if err != nil {
		l.Fatal(err)
	}
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + l.space(machine), l.binary}, arguments...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.running[name] = cmd
	l.Cleanup(func() {
		_ = log.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		processes(func(p process) bool { // its supervisor, and with that its tasks
			if strings.Contains(p.commandLine, filepath.Join(l.dir, name, "supervisor")) {
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
			return false
		})
		l.awaitTasks(name)
		if l.Failed() {
			text, _ := os.ReadFile(log.Name())
			l.Logf("%s:\n%s", name, text)
		}
	})
}

// awaitTasks waits until no task of a machine is left.
func (l *lab) awaitTasks(name string) {
	for deadline := time.Now().Add(patience); ; {
		left := processes(func(p process) bool { return strings.HasPrefix(p.folder, filepath.Join(l.dir, name)+"/") })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.Errorf("left on %s: %v", name, left)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (l *lab) signal(name string, signal syscall.Signal) {
	l.Helper()
	if err := l.running[name].Process.Signal(signal); err != nil {
		l.Fatal(err)
	}
}

// cut lets no packet through between a machine and the master.
func (l *lab) cut(name string) { l.filter("--append", name) }

func (l *lab) heal(name string) { l.filter("--delete", name) }

func (l *lab) filter(change, name string) {
	l.Helper()
	l.must("ip", "netns", "exec", l.space("m"), "iptables", "--wait", change, "INPUT", "--in-interface", "to-"+name, "--jump", "DROP")
	l.must("ip", "netns", "exec", l.space("m"), "iptables", "--wait", change, "OUTPUT", "--out-interface", "to-"+name, "--jump", "DROP")
}

// aloft runs a command beside the master and reads its answer.
func (l *lab) aloft(answer any, arguments ...string) error {
	l.Helper()
	command := append([]string{"nsenter", "--net=/run/netns/" + l.space("m"), l.binary}, arguments...)
	cmd := exec.CommandContext(l.Context(), command[0], append(command[1:], "--addr", "127.0.0.1:7117", "--json")...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	output, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, problem.String())
	}
	return json.Unmarshal(output, answer)
}

// state returns the state of an agent.
func (l *lab) state(name string) string {
	l.Helper()
	var list struct {
		Agents []struct {
			State string
			Agent struct{ ID string }
		}
	}
	if err := l.aloft(&list, "agents"); err != nil {
		return err.Error() // the master may not be there yet
	}
	for _, a := range list.Agents {
		if a.Agent.ID == name {
			return a.State
		}
	}
	return ""
}

// holder returns the agent that has the one instance ready, as the master sees it.
func (l *lab) holder() string {
	l.Helper()
	var list struct {
		Tasks []struct {
			Agent  string
			Status struct{ State string }
		}
	}
	if err := l.aloft(&list, "tasks", "sole"); err != nil || len(list.Tasks) != 1 || list.Tasks[0].Status.State != "TASK_STATE_READY" {
		return ""
	}
	if l.state(list.Tasks[0].Agent) != "ready" {
		return ""
	}
	return list.Tasks[0].Agent
}

func (l *lab) deploy() {
	l.Helper()
	spec := "service: sole\non_partition: stop\non_lost: {after: 6s}\ndeploy: {grace: 1s, surge: 0, unavailable: 1, settle: 0s}\n" +
		"run:\n  shell: |\n    trap '' TERM\n" +
		"    while :; do echo \"$ALOFT_TASK_ID-$ALOFT_ATTEMPT $(date +%s%N)\" >> " + l.record() + "; sleep 0.02; done\n"
	file := filepath.Join(l.dir, "sole.yaml")
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		l.Fatal(err)
	}
	l.must("nsenter", "--net=/run/netns/"+l.space("m"), l.binary, "deploy", file, "--addr", "127.0.0.1:7117")
}

// record is the file in which the program writes down that it is there.
func (l *lab) record() string { return filepath.Join(l.dir, "record") }

// checkRuns fails if two runs of the program overlap, or there were not so many.
func (l *lab) checkRuns(want int) {
	l.Helper()
	text, err := os.ReadFile(l.record())
	if err != nil {
		l.Fatal(err)
	}
	began, ended := make(map[string]int64), make(map[string]int64)
	var order []string
	for line := range strings.Lines(string(text)) {
		var run string
		var at int64
		if _, err := fmt.Sscan(line, &run, &at); err != nil {
			l.Fatalf("%q: %v", line, err)
		}
		if began[run] == 0 {
			began[run], order = at, append(order, run)
		}
		began[run], ended[run] = min(began[run], at), max(ended[run], at)
	}
	if len(order) != want {
		l.Errorf("%d runs, want %d: %v", len(order), want, order)
	}
	for i := 1; i < len(order); i++ {
		gap := time.Duration(began[order[i]] - ended[order[i-1]])
		l.Logf("%s ended %v before %s began", order[i-1], gap, order[i])
		if gap <= 0 {
			l.Errorf("%s and %s ran at once for %v", order[i-1], order[i], -gap)
		}
	}
}

// eventually waits until what must become true is.
func (l *lab) eventually(what string, is func() bool) {
	l.Helper()
	began := time.Now()
	defer func() { l.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond)) }()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			var explained any
			err := l.aloft(&explained, "explain", "sole")
			l.Fatalf("not within %v: %s; %v", patience, what, errors.Join(err, fmt.Errorf("%v", explained)))
		}
		<-time.After(100 * time.Millisecond)
	}
}
