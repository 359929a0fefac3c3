package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/bench/machine"
)

// build builds a command of the repository.
func build(t *testing.T, folder, command string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(command))
	run := exec.CommandContext(t.Context(), "go", "build", "-o", file, command)
	run.Dir = folder
	run.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", command, err, output)
	}
	return file
}

// TestASmallStorm runs the whole of it for a short while and with few requests.
func TestASmallStorm(t *testing.T) {
	t.Parallel()
	if err := machine.Missing(); err != nil {
		t.Skip(err)
	}
	aloft, chaos := build(t, "../..", "./cmd/aloft"), build(t, "..", "./chaos")
	keep := t.TempDir()

	output, err := exec.CommandContext(t.Context(), chaos,
		"--aloft", aloft, "--duration", "15s", "--rate", "200", "--seed", "1", "--keep", keep, "--only", "kill -9").CombinedOutput()

	text := string(output)
	if err != nil || !strings.Contains(text, "\n0 failed of ") {
		t.Fatalf("chaos: %v\n%s", err, text)
	}
	for _, role := range []string{"m", "a", "r"} {
		if !strings.Contains(text, "s  "+role) {
			t.Errorf("no fault of %s1 and those like it in\n%s", role, text)
		}
	}
}

// TestABadPattern ends at once.
func TestABadPattern(t *testing.T) {
	t.Parallel()
	chaos := build(t, "..", "./chaos")

	output, err := exec.CommandContext(t.Context(), chaos, "--only", "(").CombinedOutput()

	if err == nil || !strings.Contains(string(output), "--only") {
		t.Errorf("chaos --only ( = %v, %q; want an error that names the flag", err, output)
	}
}
