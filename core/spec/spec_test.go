package spec_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/specfile"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// zones knows two time zones, whatever the machine has.
func zones(name string) bool { return name == "Europe/Berlin" || name == "America/New_York" }

// parsed returns the only document of a text.
func parsed(t *testing.T, text string) spec.Node {
	t.Helper()
	nodes, err := specfile.Parse("", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	if len(nodes) != 1 {
		t.Fatalf("%d documents in:\n%s", len(nodes), text)
	}
	return nodes[0]
}

// decoded returns the spec of a text that is right.
func decoded(t *testing.T, text string) *spec.Spec {
	t.Helper()
	s, err := spec.Decode(parsed(t, text), zones)
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return s
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

// TestMethods checks what the engine asks of a spec.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := decoded(t, "service: web\nrun: {command: [./web]}\nports: [http, admin-ui]")

	if !s.Ported("http") || s.Ported("ftp") {
		t.Errorf("Ported is wrong about %v", s.Ports)
	}
	if s.RunsToCompletion() || !decoded(t, "job: once\nrun: {command: [./once]}").RunsToCompletion() {
		t.Error("a job runs to completion and a service does not")
	}
	if got := s.Ports[0].Variable(); got != "PORT_ADMIN_UI" {
		t.Errorf("the variable of %s is %s", s.Ports[0].Name, got)
	}
}

func TestAmountOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		amount   spec.Amount
		of       int
		up, down int
	}{
		"a count is the same of any number":    {spec.Amount{Count: 3}, 1, 3, 3},
		"nothing is nothing":                   {spec.Amount{}, 10, 0, 0},
		"a share that is whole is not rounded": {spec.Amount{Percent: 25}, 8, 2, 2},
		"a share that is not whole":            {spec.Amount{Percent: 25}, 5, 2, 1},
		"the least share of one":               {spec.Amount{Percent: 1}, 1, 1, 0},
		"all":                                  {spec.Amount{Percent: 100}, 7, 7, 7},
		"a share of nothing":                   {spec.Amount{Percent: 50}, 0, 0, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if up, down := tc.amount.Of(tc.of, true), tc.amount.Of(tc.of, false); up != tc.up || down != tc.down {
				t.Errorf("%v of %d is %d up and %d down, want %d and %d", tc.amount, tc.of, up, down, tc.up, tc.down)
			}
		})
	}
}

// TestNames checks that what is not one of the known values has no name.
func TestNames(t *testing.T) {
	t.Parallel()
	names := []string{
		spec.Service.String(), spec.Job.String(), spec.Daemon.String(), spec.Cron.String(), spec.Kind(9).String(),
		spec.NoProbe.String(), spec.HTTPProbe.String(), spec.ProbeKind(9).String(),
		spec.Rollback.String(), spec.Pause.String(),
		spec.Skip.String(), spec.Allow.String(), spec.Replace.String(), spec.Overlap(9).String(),
	}

	got := strings.Join(names, " ")

	if want := "service job daemon cron  none http  rollback pause skip allow replace "; got != want {
		t.Errorf("names are %q, want %q", got, want)
	}
}

func date(year int, month time.Month, day, hour, minute int, zone *time.Location) time.Time {
	return time.Date(year, month, day, hour, minute, 0, 0, zone)
}
