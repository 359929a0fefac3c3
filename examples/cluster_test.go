package examples_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fetched is where the example specs fetch their programs; the tests put a
// folder of their own in its place.
const fetched = "/tmp/aloft-examples"

// cluster is an `aloft dev` of the real binary.
type cluster struct {
	binary, folder string
	api, router    string // host and port
}

// startCluster builds the binary and the programs of the examples, and starts a
// cluster with two agents. The test's end stops it and fails if that fails.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{folder: t.TempDir(), api: freeAddress(t), router: freeAddress(t)}
	c.binary = filepath.Join(c.folder, "aloft")
	build(t, c.binary, "../cmd/aloft")
	for _, version := range []string{"v1", "v2"} {
		build(t, filepath.Join(c.folder, "hello"), "./hello", "-ldflags", "-X main.version="+version)
		runTool(t, "tar", "-czf", filepath.Join(c.folder, "hello-"+version+".tar.gz"), "-C", c.folder, "hello")
	}
	runTool(t, "cp", "nostop.py", c.folder)

	dev := exec.Command(c.binary, "dev", "--agents", "2", "--api", c.api, "--http", c.router, "--data-dir", filepath.Join(c.folder, "data"))
	dev.Stderr = t.Output()
	stdout, err := dev.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dev.Process.Signal(syscall.SIGINT)
		if err := dev.Wait(); err != nil {
			t.Errorf("aloft dev: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.Contains(line, "is ready") {
		t.Fatalf("aloft dev says %q, %v", line, err)
	}
	return c
}

// build builds a program of this repository.
func build(t *testing.T, file, source string, flags ...string) {
	t.Helper()
	arguments := append([]string{"build", "-o", file}, flags...)
	command := exec.CommandContext(t.Context(), "go", append(arguments, source)...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", source, err, output)
	}
}

func runTool(t *testing.T, name string, arguments ...string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// aloft runs a command that must succeed, and returns what it wrote.
func (c *cluster) aloft(t *testing.T, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, c.binary, arguments...)
	command.Env = append(os.Environ(), "ALOFT_ADDR=http://"+c.api)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("aloft %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// spec writes an example's spec with other words in place of some, and returns
// its path.
func (c *cluster) spec(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(append(replace, fetched, c.folder)...).Replace(string(text))
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// traffic asks a service all the time, by GET and POST on kept connections, and
// counts what it gets.
type traffic struct {
	asked    atomic.Int64
	versions sync.Map // version -> true

	mu   sync.Mutex
	lost []string
}

// flow starts the traffic; the returned function ends it.
func (c *cluster) flow(t *testing.T, host string) (*traffic, func()) {
	t.Helper()
	seen := &traffic{}
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for number := worker; ctx.Err() == nil; number++ {
				seen.ask(context.WithoutCancel(ctx), client, "http://"+c.router+"/", host, number)
			}
		})
	}
	return seen, func() {
		stop()
		workers.Wait()
	}
}

// ask sends one request.
func (f *traffic) ask(ctx context.Context, client *http.Client, url, host string, number int) {
	method, body := http.MethodGet, ""
	if number%2 == 1 {
		method, body = http.MethodPost, fmt.Sprintf("number %d", number)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		f.lose(err.Error())
		return
	}
	request.Host = host
	f.asked.Add(1)
	got, err := do(client, request)
	switch {
	case err != nil:
		f.lose(method + ": " + err.Error())
	case got.status != http.StatusOK:
		f.lose(fmt.Sprintf("%s: status %d: %s", method, got.status, got.body))
	case method == http.MethodPost && got.body != body:
		f.lose(fmt.Sprintf("POST: got %q for %q", got.body, body))
	default:
		f.versions.Store(got.version, true)
	}
}

func (f *traffic) lose(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = append(f.lost, why)
}

// answeredBy waits for an answer of that version.
func (f *traffic) answeredBy(t *testing.T, version string) {
	t.Helper()
	waitUntil(t, "an answer of "+version, func() bool {
		_, seen := f.versions.Load(version)
		return seen
	})
}

// TestExamplesOnACluster deploys each example as its file stands. It changes the
// services' versions under traffic, that of the one without a graceful stop too.
func TestExamplesOnACluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	for name, next := range map[string][]string{
		"hello":  {"hello-v1", "hello-v2"},
		"nostop": {"VERSION: v1", "VERSION: v2"},
	} {
		t.Run(name+" changes its version and loses nothing", func(t *testing.T) {
			t.Parallel()
			c.aloft(t, "deploy", c.spec(t, name+".yaml"))
			seen, stop := c.flow(t, name+".localhost")
			defer stop()
			seen.answeredBy(t, "v1")

			c.aloft(t, "deploy", c.spec(t, name+".yaml", next...))

			seen.answeredBy(t, "v2")
			stop()
			if len(seen.lost) > 0 {
				t.Errorf("%d of %d requests were lost, the first one: %s", len(seen.lost), seen.asked.Load(), seen.lost[0])
			}
		})
	}
	t.Run("a job runs to its end", func(t *testing.T) {
		t.Parallel()

		c.aloft(t, "deploy", "--wait", c.spec(t, "job.yaml"))

		for _, task := range []string{"checksum-1-1", "checksum-1-2", "checksum-1-3"} {
			if logs := c.aloft(t, "logs", task); strings.Count(logs, "  -\n") != 1 {
				t.Errorf("%s: want a checksum in its log:\n%s", task, logs)
			}
		}
	})
	t.Run("a daemon runs on each agent", func(t *testing.T) {
		t.Parallel()

		c.aloft(t, "deploy", c.spec(t, "daemon.yaml"))

		tasks := c.aloft(t, "tasks", "load")
		for _, agent := range []string{"agent-1", "agent-2"} {
			if !strings.Contains(tasks, agent) {
				t.Errorf("no task on %s:\n%s", agent, tasks)
			}
		}
	})
	t.Run("a cron waits for its time", func(t *testing.T) {
		t.Parallel()

		c.aloft(t, "deploy", c.spec(t, "cron.yaml"))

		if status := c.aloft(t, "status", "tidy"); !strings.Contains(status, "next run: ") {
			t.Errorf("no next run:\n%s", status)
		}
	})
}
