package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
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

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// clusterKey finds the cluster of a script.
type clusterKey struct{}

// cluster is an `aloft dev` of the real binary.
type cluster struct {
	dev     *exec.Cmd // nil while none runs
	ended   chan error
	t       *testing.T // of all scripts
	dir     string     // of its data
	keeps   bool       // the folder, when it ends
	traffic *traffic
	load    *load
}

func clusterOf(ts *testscript.TestScript) *cluster { return ts.Value(clusterKey{}).(*cluster) }

// clusterCommand starts a cluster, or stops it.
func clusterCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	switch {
	case neg:
		ts.Fatalf("cluster cannot be negated; start one that fails by exec aloft dev")
	case slices.Equal(args, []string{"stop"}):
		if err := c.stop(ts); err != nil {
			ts.Fatalf("%v", err)
		}
	case c.dev != nil:
		ts.Fatalf("the cluster runs already")
	default:
		c.start(ts, args)
	}
}

// start starts a cluster and waits until it says that it is ready.
func (c *cluster) start(ts *testscript.TestScript, flags []string) {
	api, router := freeAddress(ts), freeAddress(ts)
	c.keeps = slices.Contains(flags, "--data-dir")
	c.dev = exec.Command(program(ts, "aloft"), append([]string{"dev", "--api", api, "--http", router}, flags...)...)
	c.dev.Dir, c.dev.Env = ts.MkAbs("."), environment(ts)
	log, err := os.OpenFile(ts.MkAbs("dev.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer func() { _ = log.Close() }()
	c.dev.Stderr = log
	stdout, err := c.dev.StdoutPipe()
	ts.Check(err)
	ts.Check(c.dev.Start())
	ts.Defer(func() {
		if err := c.stop(ts); err != nil {
			c.t.Errorf("%s: %v", ts.Name(), err) // ts.Fatalf would end all scripts at once
		}
	})
	read := bufio.NewScanner(stdout)
	for read.Scan() && !strings.HasPrefix(read.Text(), "Ctrl-C") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(read.Text()), " "); name {
		case "data":
			c.dir = strings.TrimSpace(value)
		case "api":
			ts.Setenv("ALOFT_ADDR", strings.TrimSpace(value))
		}
	}
	c.ended = make(chan error, 1)
	go func() { c.ended <- c.dev.Wait() }() // stop takes from it
	if c.dir == "" {
		_ = c.dev.Process.Kill() // it has ended, or said too little
		err := <-c.ended
		c.dev = nil // there is nothing to stop
		ts.Fatalf("aloft dev did not get ready: %v\n%s", err, ts.ReadFile("dev.log"))
	}
	ts.Setenv("ROUTER", "http://"+router)
}

// stop ends the cluster with Ctrl-C, as a user does, and checks that it leaves no
// process, no control group of a task and, if it made one itself, no folder.
func (c *cluster) stop(ts *testscript.TestScript) error {
	if c.dev == nil {
		return nil
	}
	groups := c.groups()
	err := c.dev.Process.Signal(syscall.SIGINT)
	select {
	case ended := <-c.ended:
		err = errors.Join(err, ended)
	case <-time.After(patience):
		_ = c.dev.Process.Kill()
		err = errors.New("it did not end after Ctrl-C")
	}
	c.dev = nil
	left := processes(c.owns)
	for _, group := range groups {
		if _, err := os.Stat(group); err == nil {
			left = append(left, group)
		}
	}
	_, statErr := os.Stat(c.dir)
	switch {
	case err != nil:
		log, _ := os.ReadFile(ts.MkAbs("dev.log")) // it only helps
		return fmt.Errorf("aloft dev: %w\n%s", err, log)
	case len(left) > 0:
		return fmt.Errorf("aloft dev left processes or control groups:\n%s", strings.Join(left, "\n"))
	case !c.keeps && !errors.Is(statErr, os.ErrNotExist):
		return fmt.Errorf("aloft dev left its folder %s", c.dir)
	default:
		return nil
	}
}

// groups returns the control groups of its tasks, with those that they are in.
func (c *cluster) groups() []string {
	var found []string
	processes(func(p process) bool {
		if !c.owns(p) {
			return false
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid)) // gone: it is in none
		for line := range strings.Lines(string(text)) {
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if group := fields[len(fields)-1]; strings.HasPrefix(group, "/aloft/") {
				folder := filepath.Join("/sys/fs/cgroup", fields[1], group)
				found = append(found, folder, filepath.Dir(folder))
			}
		}
		return false
	})
	return found
}

// owns reports whether a process belongs to the cluster.
func (c *cluster) owns(p process) bool { return p.isOf(c.dir) }

// signalCommand sends a signal to a process of the cluster.
func signalCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal ROLE NAME")
	}
	c, signal := clusterOf(ts), unix.SignalNum("SIG"+args[1])
	folder := filepath.Join(c.dir, args[0])
	found := 0
	processes(func(p process) bool {
		words := strings.Fields(p.commandLine)
		if len(words) > 3 && words[1] != "supervisor" && slices.Contains(words, folder) {
			found++
			ts.Check(syscall.Kill(p.pid, signal))
		}
		return false
	})
	if signal == 0 || found != 1 {
		ts.Fatalf("signal %s %s: %d processes", args[0], args[1], found)
	}
}

// process is what /proc tells of one.
type process struct {
	pid         int
	commandLine string
	folder      string
}

// isOf reports whether a process names what is in a folder, or works there. Another folder
// whose name begins like that is another.
func (p process) isOf(folder string) bool {
	return strings.Contains(p.commandLine, folder+"/") || strings.HasPrefix(p.folder+"/", folder+"/")
}

// processes describes those that wanted wants.
func processes(wanted func(process) bool) []string {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	var found []string
	for _, folder := range folders {
		text, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil || len(text) == 0 {
			continue // it has ended, or is the kernel's
		}
		p := process{commandLine: strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))}
		p.pid, _ = strconv.Atoi(filepath.Base(folder))
		p.folder, _ = os.Readlink(filepath.Join(folder, "cwd"))
		if p.pid != os.Getpid() && wanted(p) {
			found = append(found, fmt.Sprintf("%d in %s: %s", p.pid, p.folder, p.commandLine))
		}
	}
	return found
}

// freeAddress returns an address on which nothing listens.
func freeAddress(ts *testscript.TestScript) string {
	address, err := freeAt("127.0.0.1")
	ts.Check(err)
	return address
}

// given are the ports that freeAt has returned.
var given sync.Map

// freeAt returns an address of a host on which nothing listens, and which it returns once.
// The kernel would give a port that it may give to a connection, too, before anybody
// listens there; those above 61000 are neither its own nor those of tasks and of other tests.
func freeAt(host string) (string, error) {
	const first, count = 61_000, 4_000
	for range count {
		port := strconv.Itoa(first + rand.IntN(count)) //nolint:gosec // it is no secret
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		address := net.JoinHostPort(host, port)
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("no port is free")
}
