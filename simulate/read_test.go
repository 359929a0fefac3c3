package simulate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/simulate"
)

// The words that are wrong are told with the flag or the place, what was found and
// what is wanted.
func TestWrongWords(t *testing.T) {
	t.Parallel()
	drawn := func(change func(*simulate.Drawn)) error {
		d := simulate.Drawn{Arrivals: "1/s"}
		change(&d)
		_, err := d.Workload()
		return err
	}
	trace := func(text string) error {
		_, err := simulate.ReadTrace("jobs.csv", strings.NewReader(text))
		return err
	}
	shape := func(text string) error { _, err := simulate.ParseShape(text); return err }
	pool := func(text string) error { _, err := simulate.ParsePool(text); return err }
	expectation := func(text string) error { _, err := simulate.ParseExpectation(text); return err }
	file := func(text string) error { _, _, err := simulate.ParseFile([]byte(text)); return err }
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"a rate without a unit":   {drawn(func(d *simulate.Drawn) { d.Arrivals = "5" }), []string{"--arrivals", `"5"`, "5/s"}},
		"a rate of nothing":       {drawn(func(d *simulate.Drawn) { d.Arrivals = "0/s" }), []string{"--arrivals", `"0/s"`}},
		"a pause of nothing":      {drawn(func(d *simulate.Drawn) { d.Arrivals = "every 0s" }), []string{"--arrivals"}},
		"too many jobs":           {drawn(func(d *simulate.Drawn) { d.Arrivals = "9999999/s" }), []string{"--arrivals", "2000000 jobs"}},
		"a length without a unit": {drawn(func(d *simulate.Drawn) { d.Length = "30" }), []string{"--length", `"30"`, "10s..5m"}},
		"a mean that is open":     {drawn(func(d *simulate.Drawn) { d.Length = "exp(1m" }), []string{"--length", "exp(2m)"}},
		"a span that goes back":   {drawn(func(d *simulate.Drawn) { d.Length = "5m..10s" }), []string{"--length", "the lower one first"}},
		"no copies":               {drawn(func(d *simulate.Drawn) { d.Copies = "0" }), []string{"--copies", `"0"`, "1 to 100000"}},
		"a share below 0":         {drawn(func(d *simulate.Drawn) { d.Users = "a=-1" }), []string{"--users", `"-1"`, "above 0"}},
		"a pool with a capital":   {drawn(func(d *simulate.Drawn) { d.Pools = "A" }), []string{"--pools"}},
		"a user of two words":     {drawn(func(d *simulate.Drawn) { d.Users = "anna b=1" }), []string{"--users", `"anna b"`}},
		"a size without amount":   {drawn(func(d *simulate.Drawn) { d.Sizes = []string{"cpus"} }), []string{"--size", `"cpus"`, "TYPE=AMOUNT"}},
		"two at once":             {drawn(func(d *simulate.Drawn) { d.Length, d.Copies = "x", "y" }), []string{"--length", "--copies"}},

		"an empty trace":          {trace(""), []string{"jobs.csv", "empty", "arrival"}},
		"an unknown column":       {trace("arrival,length,colour\n"), []string{"line 1", "column 3", `"colour"`, "user"}},
		"a column twice":          {trace("arrival,length,arrival\n"), []string{"line 1", "column 3", "twice"}},
		"no length":               {trace("arrival,name\n"), []string{"line 1", "length is missing", "arrival, name"}},
		"an arrival that is none": {trace("arrival,length\n1,2\nsoon,2\n"), []string{"jobs.csv: line 3, column 1, arrival", `"soon"`, "seconds"}},
		"an amount that is none":  {trace("arrival,length,cpus\n1,2,many\n"), []string{"line 2, column 3, cpus", `"many"`}},
		"too many cells":          {trace("arrival,length\n1,2,3\n"), []string{"line 2", "wrong number of fields"}},
		"a user of signs":         {trace("arrival,length,user\n1,2,?\n"), []string{"line 2, column 3, user", `"?"`}},
		"a time before":           {trace("arrival,length\n-1,2\n"), []string{"line 2, column 1", `"-1"`}},

		"a shape of nothing":   {shape("3:"), []string{`""`, "want [N:]"}},
		"a count that is none": {shape("x:cpus=1"), []string{`"x"`, "1 to 100000"}},
		"only attributes":      {shape("zone=a"), []string{"no resource"}},
		"a weight of nothing":  {shape("cpus=1,weight=0"), []string{"weight", `"0"`}},
		"a pool of no weight":  {pool("batch:weight=0"), []string{"weight", `"0"`}},
		"a pool without words": {pool("batch"), []string{`"batch"`, "priority=50"}},
		"a priority in words":  {pool("batch:priority=high"), []string{"priority", `"high"`}},

		"no sign":           {expectation("wait.p99"), []string{`"wait.p99"`, "wait.p99<30s"}},
		"a value of words":  {expectation("wait.p99<soon"), []string{`"soon"`, "30s"}},
		"an unknown field":  {file("agents:\n  - cout: 3\n"), []string{"[2:", "cout"}},
		"agents of nothing": {file("agents:\n  - id: a\n"), []string{"agents[0]", "partitions"}},
		"no agents":         {file("pools:\n  - id: a\n"), []string{"agents: found none"}},
	} {
		if c.err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, c.err, want)
			}
		}
	}
}

// A trace is read in any order, with what is missing left out.
func TestReadTrace(t *testing.T) {
	t.Parallel()

	w, err := simulate.ReadTrace("jobs.csv", strings.NewReader(
		"# two jobs\narrival,name,copies,cpus,mem,resource.licences,length,pool,user\n1m30s, late,2,0.5,1GiB,3,10,batch,anna\n2.5,,,,,,1h,,\n"))

	want := simulate.Workload{Jobs: []simulate.Job{
		{At: 2500 * time.Millisecond, Name: "job-2", Copies: 1, Length: time.Hour},
		{
			At: 90 * time.Second, Name: "late", Copies: 2, Length: 10 * time.Second, Pool: "batch", User: "anna",
			Resources: resource.Vector{}.With(resource.CPUs, resource.Scalar(500)).With(resource.Mem, resource.Scalar(1<<30)).
				With("licences", resource.Scalar(3000)),
		},
	}}
	if err != nil || len(w.Jobs) != 2 {
		t.Fatalf("%+v, %v", w, err)
	}
	for i := range want.Jobs {
		if !w.Jobs[i].Resources.Equal(want.Jobs[i].Resources) {
			t.Errorf("job %d takes %v", i, w.Jobs[i].Resources)
		}
		w.Jobs[i].Resources, want.Jobs[i].Resources = resource.Vector{}, resource.Vector{}
	}
	if diff := cmp.Diff(want, w, cmp.AllowUnexported(resource.Vector{})); diff != "" {
		t.Error(diff)
	}
}

// What is drawn is within the words, and one property does not disturb another.
func TestDrawn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		words := simulate.Drawn{
			Arrivals: rapid.SampledFrom([]string{"2/s", "90/m", "every 700ms"}).Draw(t, "arrivals"), For: 2 * time.Minute,
			Sizes: []string{"cpus=0.5..4,mem=1GiB|3GiB"}, Length: "10s..20s", Copies: "1|3", Pools: "a=3,b", Users: "x,y", Seed: rapid.Uint64().Draw(t, "seed"),
		}
		other := words
		other.Length, other.Copies, other.Users = "exp(1h)", "7", ""

		w, err := words.Workload()
		if err != nil {
			t.Fatal(err)
		}
		v, err := other.Workload()
		if err != nil {
			t.Fatal(err)
		}

		if len(w.Jobs) < 100 || len(w.Jobs) != len(v.Jobs) {
			t.Fatalf("%d jobs, and %d with other lengths", len(w.Jobs), len(v.Jobs))
		}
		for i, job := range w.Jobs {
			cpus, _ := job.Resources.Get(resource.CPUs)
			mem, _ := job.Resources.Get(resource.Mem)
			switch {
			case job.At >= words.For, i > 0 && job.At < w.Jobs[i-1].At, job.Length < 10*time.Second, job.Length > 20*time.Second,
				cpus.Amount() < 500, cpus.Amount() > 4000, cpus.Amount()%100 != 0, mem.Amount() != 1<<30 && mem.Amount() != 3<<30,
				job.Copies != 1 && job.Copies != 3, job.Pool != "a" && job.Pool != "b", job.User != "x" && job.User != "y":
				t.Fatalf("job %d is %+v", i, job)
			case job.At != v.Jobs[i].At || job.Pool != v.Jobs[i].Pool || !job.Resources.Equal(v.Jobs[i].Resources):
				t.Fatalf("job %d is %+v, and with other lengths %+v", i, job, v.Jobs[i])
			}
		}
		if !slices.ContainsFunc(w.Jobs, func(j simulate.Job) bool { return j.Copies == 3 }) {
			t.Fatal("no job has 3 copies")
		}
	})
}
