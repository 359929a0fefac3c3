package main_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// walkWithin bounds the walk.
const walkWithin = 3 * time.Minute

// shell is a block of commands in a page.
var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestOperatingWalk types all commands of docs/operating.md into one shell, with
// ports and folders of its own.
func TestOperatingWalk(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eux\n"
	for _, block := range shell.FindAllStringSubmatch(string(page), -1) {
		script += block[1]
	}
	binary, dir := buildOnce(t), t.TempDir()
	t.Cleanup(func() { endAll(t, dir) })
	ctx, cancel := context.WithTimeout(t.Context(), walkWithin)
	defer cancel()
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	walk := exec.CommandContext(ctx, "sh", "-c", script)
	walk.Dir, walk.Stdout, walk.Stderr = dir, output, output
	walk.Env = append(os.Environ(), "DATA="+dir, "API="+freePort(t), "PEER="+freePort(t), "HTTP=127.0.0.1:"+freePort(t),
		"PATH="+filepath.Dir(binary)+string(filepath.ListSeparator)+os.Getenv("PATH"))

	err = walk.Run()
	if err != nil {
		text, _ := os.ReadFile(output.Name())
		t.Errorf("the walk: %v\n%s", err, tail(string(text), 80))
	}
	if err := output.Close(); err != nil {
		t.Error(err)
	}
}

// freePort returns a port that is free at every address.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeAt("0.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address) // which it is
	return port
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// endAll ends the processes that name a folder or work in it, and waits for their
// end. The supervisors come last and in peace: they remove the control groups.
func endAll(t *testing.T, dir string) {
	t.Helper()
	end(t, syscall.SIGKILL, func(p process) bool {
		return !isSupervisor(p) && p.isOf(dir)
	})
	end(t, syscall.SIGTERM, func(p process) bool { return isSupervisor(p) && strings.Contains(p.commandLine, dir+"/") })
}

func isSupervisor(p process) bool { return strings.Contains(p.commandLine, " supervisor --dir ") }

// end sends a signal to processes until none is left.
func end(t *testing.T, signal syscall.Signal, which func(process) bool) {
	t.Helper()
	there := func() []string {
		return processes(func(p process) bool {
			ours := which(p)
			if ours {
				_ = syscall.Kill(p.pid, signal) // it may have ended
			}
			return ours
		})
	}
	deadline := time.After(patience)
	for len(there()) > 0 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("still there:\n%s", strings.Join(there(), "\n"))
		}
	}
}
