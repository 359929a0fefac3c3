package examples_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// program is a started example. The test's end kills it if it still runs.
type program struct {
	command *exec.Cmd
	url     string
}

// start runs a program and reads from its first line where it serves.
func start(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Env = append(os.Environ(), env...)
	command.Stderr = t.Output()
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return &program{command: command, url: "http://127.0.0.1:" + portIn(t, stdout)}
}

// portIn returns the port that the program's first line names.
func portIn(t *testing.T, stdout io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the program wrote no first line: %v", err)
	}
	port := regexp.MustCompile(`(?:127\.0\.0\.1:|port )(\d+)`).FindStringSubmatch(line)
	if port == nil {
		t.Fatalf("no port in %q", line)
	}
	return port[1]
}

// answer is what a test looks at.
type answer struct {
	status            int
	body              string
	version, instance string
}

// ask sends one request on a connection of its own.
func ask(t *testing.T, method, url, body string) answer {
	t.Helper()
	got, err := tryAsk(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func tryAsk(ctx context.Context, method, url, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Close = true
	return do(http.DefaultClient, request)
}

// do sends a request and reads its whole answer.
func do(client *http.Client, request *http.Request) (answer, error) {
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return answer{
		status:   response.StatusCode,
		body:     string(content),
		version:  response.Header.Get("X-Version"),
		instance: response.Header.Get("X-Instance"),
	}, err
}

// eventually asks again until the status is the wanted one.
func eventually(t *testing.T, url string, status int) {
	t.Helper()
	waitUntil(t, fmt.Sprintf("status %d of %s", status, url), func() bool {
		got, err := tryAsk(t.Context(), http.MethodGet, url, "")
		return err == nil && got.status == status
	})
}

// waitUntil asks again until the answer is true.
func waitUntil(t *testing.T, what string, ask func() bool) {
	t.Helper()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for !ask() {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// exitOf waits for the end of a program and returns how it ended, as in "exit status 1".
func (p *program) exitOf(t *testing.T) string {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.command.Wait() // ProcessState tells it
	}()
	select {
	case <-ended:
		return p.command.ProcessState.String()
	case <-time.After(patience):
		t.Fatal("the program does not end")
		return ""
	}
}

// signal sends the program a signal.
func (p *program) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// buildHello builds the hello of that version.
func buildHello(t *testing.T, version string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hello")
	build(t, file, "./hello", "-ldflags", "-X main.version="+version)
	return file
}
