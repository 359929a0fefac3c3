package simulate_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/simulate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What is printed of a run, of two side by side, and of the series. All jobs are of
// one size and one user, so that whoever is served next makes no difference.
func TestGolden(t *testing.T) {
	t.Parallel()
	w, err := simulate.Drawn{
		Arrivals: "every 5s", For: 10 * time.Minute, Sizes: []string{"cpus=2,mem=4GiB"}, Length: "2m", Pools: "batch", Users: "anna", Seed: 3,
	}.Workload()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := machines(t, "4:cpus=10,mem=64GiB,zone=a").WithPools(w)
	if err != nil {
		t.Fatal(err)
	}
	more, err := simulate.ParseShape("2:cpus=10,mem=64GiB,gpus=1,weight=2")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := cluster.With(simulate.Change{Add: []simulate.Shape{more}})
	if err != nil {
		t.Fatal(err)
	}

	before, err := simulate.Run(t.Context(), simulate.Config{Cluster: cluster, Workload: w})
	if err != nil {
		t.Fatal(err)
	}
	after, err := simulate.Run(t.Context(), simulate.Config{Cluster: changed, Workload: w})
	if err != nil {
		t.Fatal(err)
	}

	var one, both, series strings.Builder
	if err := before.Text(&one); err != nil {
		t.Fatal(err)
	}
	if err := simulate.Comparison(&both, before, after); err != nil {
		t.Fatal(err)
	}
	if err := simulate.WriteSeries(&series, simulate.Named{Run: "before", Report: before}, simulate.Named{Run: "after", Report: after}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"run": one.String(), "comparison": both.String(), "series": series.String()} {
		compareGolden(t, name, text)
		for line := range strings.Lines(text) {
			if n := len([]rune(line)); n > 81 && name != "series" {
				t.Errorf("%s: a line of %d signs: %s", name, n, line)
			}
		}
	}
}

func compareGolden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s", file, text)
	}
}

// An expectation holds or tells what was found; one of a figure that there is not
// tells which there are.
func TestExpectations(t *testing.T) {
	t.Parallel()
	report := &simulate.Report{
		Waits: []simulate.Wait{{Of: "all", P99: 20}, {Of: "pool", Name: "batch", P99: 40}},
		Use:   []simulate.Use{{Type: "cpus", Mean: 0.5}}, Jobs: simulate.Tally{Done: 3},
	}
	for text, want := range map[string]string{
		"wait.p99<30s": "", "wait.p99<=20s": "", "wait.pool.batch.p99 < 41s": "", "use.cpus.mean>=50%": "", "jobs.done==3": "", "wait.p99<20": "found 20s",
		"wait.pool.batch.p99<30s": "found 40s", "use.cpus.mean>60%": "found 50.0%", "wait.p98<1s": "there is no figure wait.p98; there is machines, ",
	} {
		e, err := simulate.ParseExpectation(text)
		if err != nil {
			t.Fatal(err)
		}

		err = e.Check(report)

		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
