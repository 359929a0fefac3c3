package agent_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// shell returns a change that has a task run a shell line.
func shell(line string) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Run.Command, s.Run.Shell = nil, line }
}

func command(words ...string) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Run.Command = words }
}

// TestTheEnvironmentOfATask is what docs/agent.md says, and nothing else.
func TestTheEnvironmentOfATask(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	port := freePort(t)
	orders := runOrders(specOf(spec.Job, command("env"), func(s *spec.Spec) {
		s.Run.Env = map[string]string{"GREETING": "hi from ${ALOFT_TASK_ID}", "PATH": "/opt/bin:${PATH}", "URL": "http://${ALOFT_HOST}:${PORT_HTTP_API}/"}
	}), "env-1")
	order := orders.Run[0]
	order.Ports, order.Copy, order.Run, order.Attempts = map[string]int32{"http-api": int32(port)}, 3, 9, 1
	licences, err := resource.SetOf("b", "a")
	if err != nil {
		t.Fatal(err)
	}
	held, err := resource.NewVector(
		resource.Item{Type: resource.CPUs, Quantity: resource.Scalar(250)},
		resource.Item{Type: resource.Mem, Quantity: resource.Scalar(64 << 20)},
		resource.Item{Type: "io-rate", Quantity: resource.Scalar(1500)},
		resource.Item{Type: "licences", Quantity: licences},
	)
	if err != nil {
		t.Fatal(err)
	}
	order.Resources = wire.FromVector(held)

	m.order(orders)
	m.becomes("env-1", "finished 2")

	sandbox := filepath.Join(m.cfg.DataDir, "tasks", "env-1", "sandbox")
	want := []string{
		"ALOFT_AGENT=a1", "ALOFT_ATTEMPT=2", "ALOFT_COPY=3", "ALOFT_CPUS=0.25", "ALOFT_HOST=127.0.0.1", "ALOFT_IO_RATE=1.5",
		"ALOFT_LICENCES=a,b", "ALOFT_MEM=67108864", "ALOFT_REVISION=1", "ALOFT_RUN=9", "ALOFT_SANDBOX=" + sandbox,
		"ALOFT_SERVICE=web", "ALOFT_TASK_ID=env-1", "GREETING=hi from env-1", "HOME=" + sandbox,
		"PATH=/opt/bin:" + os.Getenv("PATH"), "PORT_HTTP_API=" + strconv.Itoa(port), "TMPDIR=" + sandbox + "/tmp",
		"URL=http://127.0.0.1:" + strconv.Itoa(port) + "/",
	}
	var got []string
	for _, line := range m.output("env-1") {
		got = append(got, strings.TrimPrefix(line, "stdout: "))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("environment:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if info, err := os.Stat(filepath.Join(sandbox, "tmp")); err != nil || info.Mode() != 0o777|os.ModeDir|os.ModeSticky {
		t.Errorf("the folder for temporary files: %v, %v", info, err)
	}
}

func TestWordsOfACommandAreExpanded(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	m.order(runOrders(specOf(spec.Job, command("echo", "${ALOFT_SERVICE}-${NAME}", "$$HOME", "$5"), func(s *spec.Spec) {
		s.Run.Env = map[string]string{"NAME": "n"}
	}), "echo-1"))
	m.order(runOrders(specOf(spec.Job, command("echo", "${MISSING}")), "echo-2"))
	m.becomes("echo-1", "finished 1")
	m.becomes("echo-2", "failed 1")

	if got := m.output("echo-1"); !slices.Equal(got, []string{"stdout: web-n $HOME $5"}) {
		t.Errorf("output %q", got)
	}
	contains(t, m.status("echo-2").GetLast().GetError(), "${MISSING} is not set")
}

func TestProgramsThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	tests := map[string]struct {
		change func(*spec.Spec)
		file   string // content of ./program
		mode   os.FileMode
		want   string
		code   int // default -1
	}{
		"not found":              {change: command("./nothing"), want: "command not found", code: 127},
		"not on PATH":            {change: command("no-such-command"), want: `command not found: "no-such-command" is in no folder of the task's PATH`, code: 127},
		"not executable":         {change: command("./program"), file: "#!/bin/sh\n", mode: 0o644, want: "command is not executable", code: 126},
		"no interpreter":         {change: command("./program"), file: "#!/no/such/interpreter\n", mode: 0o755, want: "no such file"},
		"of another machine":     {change: command("./program"), file: "\x7fELF garbage", mode: 0o755, want: "exec format error"},
		"a folder":               {change: command("/tmp"), want: "is a folder", code: 126},
		"no command":             {change: command(), want: "a command or a shell line is needed"},
		"no working directory":   {change: func(s *spec.Spec) { s.Run.Dir = "missing" }, want: "is no folder in it"},
		"a directory far away":   {change: func(s *spec.Spec) { s.Run.Dir = "../.." }, want: "leads out of it"},
		"a user that is nobody":  {change: func(s *spec.Spec) { s.Run.User = "no-such-user" }, want: "cannot run as this user"},
		"a variable in a circle": {change: func(s *spec.Spec) { s.Run.Env = map[string]string{"A": "${B}", "B": "${A}"} }, want: "cycle"},
	}
	n := 0
	for name, tc := range tests {
		n++
		id := "bad-" + strconv.Itoa(n)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(m.cfg.DataDir, "tasks", id, "sandbox", "program")
			write(t, path, tc.file)
			if err := os.Chmod(path, max(tc.mode, 0o600)); err != nil {
				t.Fatal(err)
			}

			m.order(runOrders(service(command("true"), tc.change), id))

			m.until(id+" fails", func() bool { return m.status(id).GetFailures() > 0 })
			contains(t, m.status(id).GetLast().GetError(), tc.want)
			if code := m.status(id).GetLast().GetCode(); code != int32(cmp.Or(tc.code, -1)) {
				t.Errorf("the code is %d", code)
			}
		})
	}
}

// TestAPortThatAnotherProgramHas: the task ends as stopped, which is not held
// against its program, and the next one gets other ports.
func TestAPortThatAnotherProgramHas(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	other := listen(t, "127.0.0.1")
	defer func() { _ = other.Close() }()
	port := portOf(other)
	orders := runOrders(service(command("sleep", "1000")), "web-1", "web-2", "web-3")
	orders.Run[0].Ports = map[string]int32{"http": int32(port)}
	orders.Run[1].Ports = map[string]int32{"http": int32(freePort(t))}
	orders.Run[2].Ports = map[string]int32{"http": 70_000}

	m.order(orders)

	m.becomes("web-1", "stopped 1")
	contains(t, m.status("web-1").GetReason(), fmt.Sprintf("port %d: port is taken", port))
	m.becomes("web-2", "ready 1")
	m.until("web-3 fails", func() bool { return m.status("web-3").GetFailures() > 0 })
	contains(t, m.status("web-3").GetLast().GetError(), "port 70000 is not within")
}

// TestAnAddressThatIsNotOfThisMachine, as behind a translation of addresses:
// ports are tried where they can be.
func TestAnAddressThatIsNotOfThisMachine(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.end()
		w.cfg.Address = "192.0.2.1"
		w.begin()
		other := listen(t, "")
		orders := runOrders(service(), "web-1", "web-2")
		orders.Run[0].Ports = map[string]int32{"http": int32(portOf(other))}

		w.order(orders)
		w.want("web-1", "stopped 1")
		w.want("web-2", "ready 1")
		_ = other.Close() // nobody connected
		orders = runOrders(service(), "web-3")
		orders.Run[0].Ports = map[string]int32{"http": int32(portOf(other))}
		w.order(orders)
		w.want("web-3", "ready 1")
	})
}

// TestOutputThatIsNoText must not keep a report from being sent.
func TestOutputThatIsNoText(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())

	m.order(runOrders(specOf(spec.Job, shell(`printf 'a\377b\n'; exit 3`)), "binary"))

	m.becomes("binary", "failed 1")
	status := m.status("binary")
	if _, err := proto.Marshal(status); err != nil || !slices.Equal(status.GetLast().GetLastLogs(), []string{"a\uFFFDb"}) {
		t.Errorf("last lines %q, %v", status.GetLast().GetLastLogs(), err)
	}
	if status.GetLast().GetCode() != 3 {
		t.Errorf("exit %v", status.GetLast())
	}
	if got := m.output("binary"); !slices.Equal(got, []string{"stdout: a\uFFFDb"}) {
		t.Errorf("output %q", got)
	}
}

// TestAFollowerGetsEverything that was printed until the program ended.
func TestAFollowerGetsEverything(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	m.order(runOrders(specOf(spec.Job, shell("while [ ! -e go ]; do sleep 0.01; done; seq 20000")), "seq-1"))
	m.becomes("seq-1", "ready 1")
	m.send(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Logs{Logs: &pb.LogOrder{
		Request: "r1", Task: "seq-1", Follow: true, Lines: -1,
	}}})

	touch(t, filepath.Join(m.cfg.DataDir, "tasks", "seq-1", "sandbox", "go"))

	m.until("the end of the follow", func() bool { return m.answer("r1").ended })
	got := m.answer("r1")
	if len(got.lines) != 20_000 || got.lines[19_999] != "stdout: 20000" || got.err != "" {
		t.Errorf("%d lines, the last %q, error %q", len(got.lines), got.lines[max(0, len(got.lines)-1):], got.err)
	}
	m.becomes("seq-1", "finished 1")
}

// TestAWebServerBecomesReady by its answers over a real connection, and is
// stopped within its grace.
func TestAWebServerBecomesReady(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	orders := runOrders(service(command(self), func(s *spec.Spec) {
		s.Run.Env = map[string]string{role: "web"}
		s.Ready = spec.Probe{Kind: spec.HTTPProbe, Path: "/ready", Port: "http", Every: 20 * time.Millisecond, Timeout: 10 * time.Second, Failures: 1}
	}), "web-1")
	orders.Run[0].Ports = map[string]int32{"http": int32(freePort(t))}
	m.order(orders)
	m.until("the first bad answer", func() bool {
		return strings.Contains(m.status("web-1").GetReason(), "not ready: http probe: GET /ready: 503")
	})
	sandbox := filepath.Join(m.cfg.DataDir, "tasks", "web-1", "sandbox")

	touch(t, filepath.Join(sandbox, "ready"))
	m.becomes("web-1", "ready 1")
	remove(t, filepath.Join(sandbox, "ready"))
	m.becomes("web-1", "running 1")

	m.order(&pb.Orders{Stop: []*pb.StopOrder{{Task: "web-1", Grace: durationpb.New(10 * time.Second)}}})
	m.becomes("web-1", "stopped 1")
	if exit := m.status("web-1").GetLast(); exit.GetSignal() != int32(unix.SIGTERM) {
		t.Errorf("exit %v", exit)
	}
}

// openFolder returns a folder that every user may look into.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	return dir
}

// ofNobody gives a service to a user who may do nothing, as only root can.
func ofNobody(t *testing.T, script string) *spec.Spec {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may change the user")
	}
	return service(shell(script), func(s *spec.Spec) { s.Run.User = "65534" })
}

// TestALinkInThePlaceOfTheTemporaryFolder: what it leads to is not opened to everybody.
func TestALinkInThePlaceOfTheTemporaryFolder(t *testing.T) {
	t.Parallel()
	private := filepath.Join(openFolder(t), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, openFolder(t))

	m.order(runOrders(ofNobody(t, "[ $ALOFT_ATTEMPT -gt 1 ] && exec sleep 1000; rmdir tmp; ln -s "+private+" tmp; exit 1"), "web-1"))

	m.becomes("web-1", "ready 2")
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of root is %v, %v", info.Mode(), err)
	}
}

// TestAFolderRemovedByHand is made anew for the next attempt, whatever is printed meanwhile.
func TestAFolderRemovedByHand(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(openFolder(t), "go")
	m := newMachine(t, openFolder(t))
	m.order(runOrders(ofNobody(t, "[ $ALOFT_ATTEMPT -gt 1 ] && exec sleep 1000; while [ ! -e "+marker+" ]; do sleep 0.02; done; echo out; sleep 0.1; exit 1"), "web-1"))
	m.becomes("web-1", "ready 1")
	if err := os.RemoveAll(filepath.Join(m.cfg.DataDir, "tasks", "web-1")); err != nil {
		t.Fatal(err)
	}

	touch(t, marker)

	m.becomes("web-1", "ready 2")
}

// TestASilentAttemptIsTheNewest: what the one before it printed is not taken for its output.
func TestASilentAttemptIsTheNewest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())

	m.order(runOrders(service(shell("[ $ALOFT_ATTEMPT -gt 1 ] && exec sleep 1000; echo one; exit 1")), "web-1"))

	m.becomes("web-1", "ready 2")
	if lines := m.output("web-1"); len(lines) > 0 {
		t.Errorf("it has printed %q", lines)
	}
}
