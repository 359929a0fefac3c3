package rival_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/aloft-run/aloft/bench/process"
)

// TestMain holds the tests to leave no process behind, no worker of a server that
// has ended either.
func TestMain(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // the main of the tests
}

func run(m *testing.M) int {
	if err := process.Adopt(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	left, err := process.KillDescendants()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, p := range left {
		fmt.Fprintf(os.Stderr, "left behind: process %d, %s\n", p.PID, p.Command)
		code = 1
	}
	return code
}
