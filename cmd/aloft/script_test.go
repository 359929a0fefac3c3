package main_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// update has the scripts write the files that they compare with anew.
var update = flag.Bool("update", false, "write the files that scripts compare with anew")

// patience is how long a script waits for what must come.
const patience = time.Minute

// atOnce bounds the clusters that run at the same time.
const atOnce = 2

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"webby": webby, "ask": ask})
}

// TestScripts plays testdata/script with the real binary, built for it unless
// ALOFT_BINARY names one. Beside the usual commands there are:
//
//	cluster [--data-dir DIR] [FLAG]...  starts a cluster by `aloft dev`; sets ALOFT_ADDR and ROUTER
//	cluster stop                        stops it with Ctrl-C, and checks that nothing is left
//	waitfor REGEXP COMMAND...           runs a command until its output matches; "!" before it: until it does not
//	traffic HOST                        asks a service by the router all the time
//	traffic stop                        ends that; every request must have been answered
//	load ADDRESS HOST                   asks a service at an address by HTTP/1.1, HTTP/2 and an upgraded connection
//	load echo                           says something over the upgraded connection, and waits for the echo
//	load hangup                         closes it
//	load stop                           ends the load; every request must have been answered
//	address NAME...                     sets each to an address on which nothing listens
//	signal ROLE NAME                    sends a signal to a process of the cluster: master, router, agent-1
//	gone REGEXP                         waits until no process has a command line that matches
//
// $REPO is the folder of the sources. In files *.yaml, @WORK@ is the script's folder and @WEBBY@ the path of a small
// web server.
func TestScripts(t *testing.T) {
	t.Parallel()
	binary := buildOnce(t)
	slots := make(chan struct{}, atOnce) // taken by the scripts that run
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireUniqueNames: true, RequireExplicitExec: true, UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			slots <- struct{}{}
			env.Defer(func() { <-slots })
			env.Defer(func() { endAll(t, env.WorkDir) }) // what a script that failed has left
			env.Values[clusterKey{}] = &cluster{t: t}
			repository, err := filepath.Abs(filepath.Join("..", ".."))
			if err != nil {
				return err
			}
			env.Setenv("REPO", repository)
			env.Setenv("PATH", filepath.Dir(binary)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			return fillIn(env.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster": clusterCommand, "waitfor": waitfor, "traffic": trafficCommand, "load": loadCommand, "address": addressCommand, "signal": signalCommand, "gone": gone,
		},
		Condition: func(name string) (bool, error) {
			if name == "oom" {
				return canLimitMemory(), nil
			}
			return false, fmt.Errorf("unknown condition: %s", name)
		},
	})
}

// buildOnce returns the binary under test.
func buildOnce(t *testing.T) string {
	t.Helper()
	if binary := os.Getenv("ALOFT_BINARY"); binary != "" {
		return binary
	}
	binary := filepath.Join(t.TempDir(), "aloft")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-X main.version=v0-test", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return binary
}

// fillIn puts the names of this run into the specs of a script.
func fillIn(dir string) error {
	server, err := exec.LookPath("webby")
	if err != nil {
		return err
	}
	names := strings.NewReplacer("@WORK@", dir, "@WEBBY@", server)
	return filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(names.Replace(string(text))), 0o600)
	})
}

// waitfor runs a command again and again until its output matches, or, with a
// "!" before it, does not.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor REGEXP COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var output []byte
	soon(ts, func() bool {
		command := exec.Command(program(ts, args[1]), args[2:]...)
		command.Dir, command.Env = ts.MkAbs("."), environment(ts)
		var err error
		if output, err = command.CombinedOutput(); err != nil {
			output = append(output, err.Error()...)
		}
		return pattern.Match(output) != neg
	}, func() string { return fmt.Sprintf("waiting for %q; the last output was:\n%s", args[0], output) })
	_, err = ts.Stdout().Write(output)
	ts.Check(err)
}

// soon waits until something is so, and fails the script when it is not in time.
func soon(ts *testscript.TestScript, so func() bool, otherwise func() string) {
	deadline := time.After(patience)
	for !so() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			ts.Fatalf("%s", otherwise())
		}
	}
}

// program finds a program by the path of a script.
func program(ts *testscript.TestScript, name string) string {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(filepath.ListSeparator)) {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file
		}
	}
	ts.Fatalf("no program %s", name)
	return ""
}

// environment is that of a script.
func environment(ts *testscript.TestScript) []string {
	var list []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "ALOFT_ADDR", "ROUTER"} {
		if value := ts.Getenv(name); value != "" {
			list = append(list, name+"="+value)
		}
	}
	return list
}

// gone waits until no process has a command line that matches.
func gone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gone REGEXP")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	var left []string
	soon(ts, func() bool {
		left = processes(func(p process) bool { return pattern.MatchString(p.commandLine) })
		return len(left) == 0
	}, func() string { return "still there:\n" + strings.Join(left, "\n") })
}

// canLimitMemory reports whether tasks can be held to their memory: as root, with
// control groups that can be written.
func canLimitMemory() bool {
	if os.Geteuid() != 0 {
		return false
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); err == nil {
		return bytes.Contains(text, []byte("memory"))
	}
	file, err := os.OpenFile("/sys/fs/cgroup/memory/memory.limit_in_bytes", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	_ = file.Close() // read only
	probe := "/sys/fs/cgroup/memory/aloft-probe"
	if err := os.Mkdir(probe, 0o755); err != nil {
		return false
	}
	return os.Remove(probe) == nil
}
