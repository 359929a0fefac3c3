package supervisor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// TestWhatIsRememberedIsBounded gives a supervisor the journal of a long life:
// the newest 20,000 tasks are remembered, in a file of that size.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	var journal strings.Builder
	const n = 30_000
	for i := range n {
		_, _ = fmt.Fprintf(&journal, `{"started":{"key":{"task":"t%d","attempt":2},"at":"2026-01-02T12:00:00Z"}}`+"\n", i)
		_, _ = fmt.Fprintf(&journal, `{"exited":{"key":{"task":"t%d","attempt":2},"code":0,"at":"2026-01-02T12:00:00Z"}}`+"\n", i)
		_, _ = fmt.Fprintf(&journal, `{"forgot":{"task":"t%d","attempt":2}}`+"\n", i)
	}
	if err := os.WriteFile(path, []byte(journal.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	client := ensure(t, dir)

	for task, known := range map[id.Task]bool{"t0": false, "t9999": false, "t10000": true, "t29999": true} {
		_, err := client.Start(t.Context(), shell(task, 1, "exit 0"))
		if errors.Is(err, supervisor.ErrAlreadyStarted) != known {
			t.Errorf("Start of %s = %v; known should be %v", task, err, known)
		}
		if err == nil {
			nextExit(t, client)
		}
	}
	content, err := os.ReadFile(path)
	if lines := strings.Count(string(content), "\n"); err != nil || lines > 20_010 {
		t.Errorf("the journal has %d lines, %v", lines, err)
	}
}

// TestTheJournalIsRewritten runs enough tasks that most of its lines are of no
// use any more.
func TestTheJournalIsRewritten(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	size := func() int {
		content, err := os.ReadFile(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(content), "\n")
	}
	most := 0
	for n := range 500 {
		s := supervisor.Start{
			Key: supervisor.Key{Task: "again", Attempt: n + 1}, Path: "/bin/true", Argv: []string{"true"}, Dir: "/",
		}
		start(t, client, s)
		nextExit(t, client)
		if err := client.Forget(t.Context(), s.Key); err != nil {
			t.Fatal(err)
		}
		most = max(most, size())
	}
	if most > 1100 {
		t.Errorf("the journal grew to %d lines", most)
	}
	if _, err := client.Start(t.Context(), shell("again", 500, "")); !errors.Is(err, supervisor.ErrAlreadyStarted) {
		t.Errorf("Start = %v, want ErrAlreadyStarted", err)
	}
}
