package task_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/task"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// moves are the events of the matrix, in the order of its columns.
func moves() []struct {
	name  string
	event task.Event
} {
	good, bad := &task.Exit{At: noon}, &task.Exit{Code: 1, At: noon}
	return []struct {
		name  string
		event task.Event
	}{
		{"assign", task.Assign{At: noon}},
		{"block", task.Block{At: noon, Reason: "no room"}},
		{"accept next", task.Accept{At: noon, Attempt: 3}},
		{"accept same", task.Accept{At: noon, Attempt: 2}},
		{"start", task.Start{At: noon}},
		{"become ready", task.BecomeReady{At: noon}},
		{"become unready", task.BecomeUnready{At: noon, Reason: "503"}},
		{"become unhealthy", task.BecomeUnhealthy{At: noon, Reason: "hung"}},
		{"become healthy", task.BecomeHealthy{At: noon}},
		{"end bad", task.End{At: noon, Exit: bad}},
		{"end bad, again", task.End{At: noon, Exit: bad, Again: true}},
		{"end good, again", task.End{At: noon, Exit: good, Again: true}},
		{"end bad, completes", task.End{At: noon, Exit: bad, Completes: true}},
		{"end good, completes", task.End{At: noon, Exit: good, Completes: true}},
		{"end without program", task.End{At: noon, Completes: true}},
		{"drain", task.Drain{At: noon}},
		{"stop", task.Stop{At: noon}},
		{"lose", task.Lose{At: noon, Reason: "silent"}},
	}
}

// TestMatrix keeps the whole of Step in a file: each event in each state. A dot
// is a move that is refused.
func TestMatrix(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	fmt.Fprintf(&table, "%-20s", "")
	for state := task.Pending; state <= task.Lost; state++ {
		fmt.Fprintf(&table, "%-10s", state)
	}
	for _, move := range moves() {
		if !strings.HasPrefix(move.name, move.event.String()) {
			t.Errorf("the event of %q calls itself %q", move.name, move.event)
		}
		fmt.Fprintf(&table, "\n%-20s", move.name)
		for state := task.Pending; state <= task.Lost; state++ {
			fmt.Fprintf(&table, "%-10s", cell(t, state, move.event))
		}
	}
	compareGolden(t, "matrix.txt", trimLines(table.String()))
}

// TestObserveMatrix keeps what the master makes of each report in each state:
// a dot is a report that does not change the state.
func TestObserveMatrix(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	fmt.Fprintf(&table, "%-20s", "agent / master")
	for known := task.Pending; known <= task.Lost; known++ {
		fmt.Fprintf(&table, "%-10s", known)
	}
	for reported := task.Pending; reported <= task.Lost; reported++ {
		fmt.Fprintf(&table, "\n%-20s", reported)
		for known := task.Pending; known <= task.Lost; known++ {
			got, _ := task.Observe(
				task.Status{State: known, Since: noon, Attempt: 2},
				task.Status{State: reported, Since: noon.Add(time.Second), Attempt: 2},
			)
			answer := "."
			if got.State != known {
				answer = got.State.String()
			}
			fmt.Fprintf(&table, "%-10s", answer)
		}
	}
	compareGolden(t, "observe.txt", trimLines(table.String()))
}

func cell(t *testing.T, state task.State, event task.Event) string {
	t.Helper()
	before := task.Status{State: state, Since: noon.Add(-time.Minute), Attempt: 2, Reason: "before"}
	after, err := task.Step(before, event)
	if err != nil {
		if !after.Equal(before) {
			t.Errorf("%s in state %s is refused and changes the status to %+v", event, state, after)
		}
		return "."
	}
	return after.State.String()
}

func trimLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: run with -update if this is meant\n got:\n%s\nwant:\n%s", path, got, want)
	}
}
