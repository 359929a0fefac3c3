package simulate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/simulate"
)

const startup = 100 * time.Millisecond

// drawWorkload draws jobs that each fit on a machine of 4 cpus and 8 GiB.
func drawWorkload(t *rapid.T) simulate.Workload {
	var w simulate.Workload
	at := time.Duration(0)
	for i := range rapid.IntRange(0, 25).Draw(t, "jobs") {
		at += time.Duration(rapid.IntRange(0, 20).Draw(t, "pause")) * time.Second
		w.Jobs = append(w.Jobs, simulate.Job{
			At: at, Name: fmt.Sprintf("j%d", i), Copies: rapid.IntRange(1, 5).Draw(t, "copies"),
			Resources: resource.Vector{}.
				With(resource.CPUs, resource.Scalar(100*rapid.Int64Range(1, 40).Draw(t, "cpus"))).
				With(resource.Mem, resource.Scalar(rapid.Int64Range(0, 8).Draw(t, "mem")<<30)),
			Length: time.Duration(rapid.IntRange(0, 60).Draw(t, "length")) * time.Second,
			Pool:   rapid.SampledFrom([]id.Pool{"", "a", "b"}).Draw(t, "pool"), User: rapid.SampledFrom([]string{"", "anna", "ben"}).Draw(t, "user"),
		})
	}
	return w
}

func machines(t interface{ Fatal(args ...any) }, shape string) simulate.Cluster {
	s, err := simulate.ParseShape(shape)
	if err != nil {
		t.Fatal(err)
	}
	c, err := simulate.Made([]simulate.Shape{s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every copy that arrives ends, runs or waits; what is used is what the copies
// take for as long as they run, and never more than there is; and the same run is
// the same again.
func TestNothingIsLostOrMadeUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorkload(t)
		cluster, err := machines(t, fmt.Sprintf("%d:cpus=4,mem=8GiB", rapid.IntRange(1, 4).Draw(t, "machines"))).WithPools(w)
		if err != nil {
			t.Fatal(err)
		}
		cfg := simulate.Config{Cluster: cluster, Workload: w, Startup: startup}
		if rapid.Bool().Draw(t, "ends early") {
			cfg.Until = time.Duration(rapid.IntRange(1, 600).Draw(t, "until")) * time.Second
		}

		r, err := simulate.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := simulate.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("the same run differs: %s", diff)
		}
		for name, n := range map[string]simulate.Tally{"jobs": r.Jobs, "copies": r.Copies} {
			if n.Arrived != n.Done+n.Failed+n.Running+n.Waiting {
				t.Fatalf("%s do not add up: %+v", name, n)
			}
		}
		if r.Waits[0].Copies != r.Copies.Arrived {
			t.Fatalf("%d waits of %d copies", r.Waits[0].Copies, r.Copies.Arrived)
		}
		for _, u := range r.Use {
			if u.Most > 1 || u.Mean > u.Most+1e-9 || u.RLeast < 0 || u.RMost > u.Capacity {
				t.Fatalf("more is used than there is: %+v", u)
			}
		}
		if cfg.Until == 0 {
			checkAllDone(t, r, w)
		}
	})
}

// checkAllDone checks a run that went on until all had ended.
func checkAllDone(t *rapid.T, r *simulate.Report, w simulate.Workload) {
	if r.Jobs.Done != len(w.Jobs) || r.Copies.Done != r.Copies.Arrived {
		t.Fatalf("each job fits, and not all are done: %+v %+v, %v", r.Jobs, r.Copies, r.Reasons)
	}
	for _, u := range r.Use {
		want := 0.0
		for _, job := range w.Jobs {
			q, _ := job.Resources.Get(u.Type)
			amount := float64(q.Amount())
			if u.Type == resource.CPUs {
				amount /= 1000
			}
			want += float64(job.Copies) * amount * (job.Length + startup).Seconds()
		}
		if got := u.Mean * u.Capacity * r.Seconds; math.Abs(got-want) > 1e-6*max(1, want) {
			t.Fatalf("%s: %v unit-seconds were used, and the copies took %v", u.Type, got, want)
		}
	}
	placed, length := 0, 0.0
	for _, p := range r.Series.Points {
		placed, length = placed+p.Placed, length+p.Seconds
	}
	if placed > r.Copies.Arrived || math.Abs(length-r.Seconds) > 1e-6 {
		t.Fatalf("the series tells of %d placed in %v s; the run of %d in %v s", placed, length, r.Copies.Arrived, r.Seconds)
	}
}

// More machines of the same kind let nobody wait for longer where all jobs are of
// one size, and a raised priority lets a pool wait for less.
func TestWhatIf(t *testing.T) {
	t.Parallel()
	w, err := simulate.Drawn{Arrivals: "30/m", For: 10 * time.Minute, Length: "1m..3m", Pools: "a,b", Seed: 7}.Workload()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := machines(t, "4:cpus=12,mem=64GiB").WithPools(w)
	if err != nil {
		t.Fatal(err)
	}
	more, err := simulate.ParseShape("2:cpus=12,mem=64GiB")
	if err != nil {
		t.Fatal(err)
	}
	raised, err := simulate.ParsePool("b:priority=5")
	if err != nil {
		t.Fatal(err)
	}
	run := func(change simulate.Change) *simulate.Report {
		changed, err := cluster.With(change)
		if err != nil {
			t.Fatal(err)
		}
		r, err := simulate.Run(t.Context(), simulate.Config{Cluster: changed, Workload: w})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}

	before := run(simulate.Change{})
	larger := run(simulate.Change{Add: []simulate.Shape{more}})
	first := run(simulate.Change{Pools: []simulate.PoolChange{raised}})

	if before.Waits[0].P90 == 0 || larger.Waits[0].Mean > before.Waits[0].Mean/2 || larger.Machines != 6 {
		t.Errorf("with more machines the waits are %+v, without %+v", larger.Waits[0], before.Waits[0])
	}
	b := func(r *simulate.Report) float64 { return r.Waits[2].P90 } // all, a, b
	if b(first) > b(before)/2 || first.Waits[1].P90 < before.Waits[1].P90 {
		t.Errorf("with a higher priority the waits are %+v, without %+v", first.Waits, before.Waits)
	}
}

// A job that fits nowhere waits to the end, which comes all the same, and the
// report says why.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := simulate.Workload{Jobs: []simulate.Job{
		{Name: "fits", Copies: 1, Resources: resource.Vector{}.With(resource.CPUs, resource.Scalar(1000)), Length: time.Minute},
		{Name: "never", Copies: 2, Resources: resource.Vector{}.With(resource.CPUs, resource.Scalar(9000)), Length: time.Minute},
	}}

	r, err := simulate.Run(t.Context(), simulate.Config{Cluster: machines(t, "2:cpus=4,mem=8GiB"), Workload: w})
	if err != nil {
		t.Fatal(err)
	}

	if r.Copies != (simulate.Tally{Arrived: 3, Done: 1, Waiting: 2}) || r.Jobs.Waiting != 1 || len(r.Reasons) == 0 {
		t.Errorf("%+v, %+v, %+v", r.Copies, r.Jobs, r.Reasons)
	}
}
