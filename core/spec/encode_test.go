package spec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/specfile"
)

// TestEncodeReadsBack draws specs of every kind: what Encode prints, Decode
// reads back.
func TestEncodeReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)

		text := spec.Encode(s)
		nodes, err := specfile.Parse("", []byte(text))
		if err != nil {
			t.Fatalf("%v\nin:\n%s", err, text)
		}
		back, err := spec.Decode(nodes[0], zones)
		if err != nil {
			t.Fatalf("%v\nin:\n%s", err, text)
		}

		if diff := cmp.Diff(s, back); diff != "" {
			t.Fatalf("Decode(Encode) (-want +got):\n%s\nof:\n%s", diff, text)
		}
		if d := spec.Compare(s, back); len(d.Changes) > 0 || d.Replaces {
			t.Fatalf("Compare finds %v between equal specs", d)
		}
	})
}

// TestCompareIsComplete draws two specs: Compare finds nothing just when they
// are equal, and finds the same from the other side.
func TestCompareIsComplete(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSpec(t), drawSpec(t)
		b.Kind, b.Name = a.Kind, a.Name
		if rapid.Bool().Draw(t, "near") {
			near := *a
			near.OnLost, near.Run, near.Ports, near.Placement = b.OnLost, b.Run, b.Ports, b.Placement
			b = &near
		}

		there, back := spec.Compare(a, b), spec.Compare(b, a)

		if equal := spec.Encode(a) == spec.Encode(b); equal != (len(there.Changes) == 0) {
			t.Fatalf("equal is %v, and the changes are %v", equal, there.Changes)
		}
		for i := range back.Changes {
			back.Changes[i].From, back.Changes[i].To = back.Changes[i].To, back.Changes[i].From
		}
		if diff := cmp.Diff(there, back); diff != "" {
			t.Fatalf("Compare from the other side (-there +back):\n%s", diff)
		}
	})
}

// drawSpec draws a spec as Decode returns it: complete, valid and in canonical
// order.
func drawSpec(t *rapid.T) *spec.Spec {
	kind := rapid.SampledFrom([]spec.Kind{spec.Service, spec.Job, spec.Daemon, spec.Cron}).Draw(t, "kind")
	s := &spec.Spec{
		Kind:      kind,
		Name:      id.Service(drawName(t)),
		Pools:     drawPools(t),
		Instances: rapid.IntRange(1, 100_000).Draw(t, "instances"),
		Resources: drawResources(t),
		Ports:     drawPorts(t),
		Run:       drawRun(t),
		Logs:      spec.Logs{SizeBytes: rapid.Int64Range(1<<10, 1<<40).Draw(t, "size"), Files: rapid.IntRange(1, 1000).Draw(t, "files")},
		OnLost:    spec.OnLost{After: drawDuration(t, time.Second, 720*time.Hour)},
		Placement: drawPlacement(t, kind),
		Deploy:    spec.Deploy{Grace: drawDuration(t, 0, time.Hour)},
	}
	s.Alive = drawProbe(t, s.Ports)
	if s.OnLost.After >= s.Deploy.Grace+5*time.Second {
		s.OnPartition = rapid.SampledFrom([]spec.OnPartition{spec.RunOn, spec.EndOff}).Draw(t, "on partition")
	}
	if kind == spec.Daemon {
		s.Instances = 0
	}
	if kind == spec.Cron {
		s.Schedule = drawSchedule(t)
	}
	if s.RunsToCompletion() {
		s.User = rapid.SampledFrom([]string{"", "anna", "1000", "b.c@example.com"}).Draw(t, "user")
		s.Retries = rapid.IntRange(0, 100).Draw(t, "retries")
		s.Timeout = rapid.SampledFrom([]time.Duration{0, time.Second, 90 * time.Minute}).Draw(t, "timeout")
		return s
	}
	s.Ready = drawProbe(t, s.Ports)
	s.Deploy = drawDeploy(t, s.Deploy.Grace)
	s.Routes = drawRoutes(t, s.Ports)
	if len(s.Routes) > 0 && s.Ready.Kind == spec.NoProbe {
		s.Ready = spec.Probe{Kind: spec.TCPProbe, Port: s.Ports[0].Name, Every: time.Second, Timeout: time.Second, Failures: 1}
	}
	return s
}

func drawName(t *rapid.T) string {
	return rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?`).Draw(t, "name")
}

// drawText draws text that a program can be given, of characters that have a
// meaning somewhere and of any others.
func drawText(t *rapid.T) string {
	tricky := rapid.StringOf(rapid.SampledFrom([]rune(" \n\t\r:#-?[]{},&*!|>'\"%@`~=.<0123456789eExXnotruefalsy_+/\\\u0085\u2028\ufeff\x1b\x7fé😀")))
	lines := rapid.Custom(func(t *rapid.T) string {
		line := rapid.StringMatching(`[a-z #:'"|-]{0,12}`)
		return strings.Join(rapid.SliceOfN(line, 1, 6).Draw(t, "lines"), "\n")
	})
	text := rapid.OneOf(tricky, lines, rapid.String()).Draw(t, "text")
	return strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "$", "$$")
}

func drawDuration(t *rapid.T, low, high time.Duration) time.Duration {
	unit := rapid.SampledFrom([]time.Duration{1, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "unit")
	n := rapid.Int64Range(0, int64(high/unit)).Draw(t, "units")
	return max(low, time.Duration(n)*unit)
}

func drawPools(t *rapid.T) []id.Pool {
	var pools []id.Pool
	for range rapid.IntRange(0, 3).Draw(t, "pools") {
		pools = append(pools, id.Pool(drawName(t)))
	}
	slices.Sort(pools)
	return slices.Compact(pools)
}

func drawResources(t *rapid.T) resource.Vector {
	var v resource.Vector
	v = v.With(resource.CPUs, resource.Scalar(rapid.Int64Range(1, 1<<40).Draw(t, "cpus")))
	v = v.With(resource.Mem, resource.Scalar(rapid.Int64Range(1, 1<<50).Draw(t, "mem")))
	for _, text := range []string{"disk=10GiB", "gpus=2", "tape=3", "lanes=1-4,7", "licenses={a,b}"} {
		name, amount, _ := strings.Cut(text, "=")
		if !rapid.Bool().Draw(t, name) {
			continue
		}
		q, err := resource.Parse(resource.Type(name), amount)
		if err != nil {
			t.Fatal(err)
		}
		v = v.With(resource.Type(name), q)
	}
	return v
}

func drawPorts(t *rapid.T) []spec.Port {
	var ports []spec.Port
	for i := range rapid.IntRange(0, 3).Draw(t, "ports") {
		number := rapid.SampledFrom([]int{0, 80 + i}).Draw(t, "number")
		ports = append(ports, spec.Port{Name: fmt.Sprintf("p%d", i), Number: number})
	}
	return ports
}

func drawRun(t *rapid.T) spec.Run {
	r := spec.Run{
		Dir:  rapid.SampledFrom([]string{"", "data", "a/b c", "007", "true"}).Draw(t, "dir"),
		User: rapid.SampledFrom([]string{"", "www-data", "1000", "a:b"}).Draw(t, "user"),
	}
	if rapid.Bool().Draw(t, "shell") {
		r.Shell = "x" + drawText(t)
	} else {
		r.Command = []string{"./run", drawText(t), drawText(t)}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "variables") {
		if r.Env == nil {
			r.Env = make(map[string]string)
		}
		r.Env[rapid.SampledFrom([]string{"A", "NO", "null", "_1"}).Draw(t, "variable")+fmt.Sprint(i)] = drawText(t)
	}
	for range rapid.IntRange(0, 2).Draw(t, "artifacts") {
		r.Fetch = append(r.Fetch, spec.Artifact{
			URL:    rapid.SampledFrom([]string{"https://x/a.zip", "file:///a b"[:9], "http://x:80/?a=b#c"}).Draw(t, "url"),
			SHA256: rapid.SampledFrom([]string{"", strings.Repeat("0", 64), strings.Repeat("1e", 32)}).Draw(t, "sha256"),
			Dest:   rapid.SampledFrom([]string{"", "bin"}).Draw(t, "dest"),
			Unpack: rapid.Bool().Draw(t, "unpack"),
		})
	}
	return r
}

func drawProbe(t *rapid.T, ports []spec.Port) spec.Probe {
	p := spec.Probe{
		Kind:     rapid.SampledFrom([]spec.ProbeKind{spec.NoProbe, spec.HTTPProbe, spec.TCPProbe, spec.GRPCProbe, spec.CommandProbe}).Draw(t, "probe"),
		Every:    drawDuration(t, 10*time.Millisecond, time.Hour),
		Timeout:  drawDuration(t, time.Millisecond, time.Hour),
		Failures: rapid.IntRange(1, 1000).Draw(t, "failures"),
	}
	if p.Kind == spec.CommandProbe {
		p.Command = []string{"./ok", drawText(t)}
		return p
	}
	if p.Kind == spec.NoProbe || len(ports) == 0 {
		return spec.Probe{}
	}
	p.Port = rapid.SampledFrom(ports).Draw(t, "port").Name
	if p.Kind == spec.HTTPProbe {
		p.Path = rapid.SampledFrom([]string{"/", "/ready?full=1"}).Draw(t, "path")
	}
	if p.Kind == spec.GRPCProbe {
		p.Service = rapid.SampledFrom([]string{"", "true", "health.v1.Web"}).Draw(t, "service")
	}
	return p
}

func drawRoutes(t *rapid.T, ports []spec.Port) []spec.Route {
	var routes []spec.Route
	if len(ports) == 0 {
		return nil
	}
	for _, number := range []int{1, 5432, 65535} {
		if rapid.IntRange(0, 3).Draw(t, "connections") == 0 {
			routes = append(routes, spec.Route{
				Listen: number, Port: rapid.SampledFrom(ports).Draw(t, "to").Name, Hold: drawDuration(t, 0, 10*time.Minute),
			})
		}
	}
	for _, host := range []string{"", "*.example.com", "1.2.3.4", "example.com"} {
		if rapid.IntRange(0, 2).Draw(t, "route") == 0 {
			routes = append(routes, spec.Route{
				Host: host,
				Path: rapid.SampledFrom([]string{"/", "/a/b", "/%20"}).Draw(t, "path"),
				Port: rapid.SampledFrom(ports).Draw(t, "port").Name,
				Hold: drawDuration(t, 0, 10*time.Minute),
			})
		}
	}
	return routes
}

func drawDeploy(t *rapid.T, grace time.Duration) spec.Deploy {
	amount := rapid.SampledFrom([]spec.Amount{{Count: 1}, {Count: 100_000}, {Percent: 1}, {Percent: 100}})
	return spec.Deploy{
		Surge:       amount.Draw(t, "surge"),
		Unavailable: amount.Draw(t, "unavailable"),
		Settle:      drawDuration(t, 0, time.Minute),
		Deadline:    drawDuration(t, 2*time.Minute, time.Hour),
		Drain:       drawDuration(t, 0, time.Hour),
		Grace:       grace,
		Failures:    rapid.IntRange(1, 1000).Draw(t, "failures"),
		OnFailure:   rapid.SampledFrom([]spec.OnFailure{spec.Rollback, spec.Pause}).Draw(t, "on failure"),
	}
}

func drawPlacement(t *rapid.T, kind spec.Kind) spec.Placement {
	var p spec.Placement
	all := []spec.Constraint{ // in the order of their texts
		{Attribute: "ssd", Operator: spec.Exists},
		{Attribute: "tape", Operator: spec.Missing},
		{Attribute: "zone", Operator: spec.NotIn, Values: []string{"a"}},
		{Attribute: "zone", Operator: spec.In, Values: []string{"0x1"}},
		{Attribute: "zone", Operator: spec.In, Values: []string{"a", "b"}},
		{Attribute: "zone", Operator: spec.NotIn, Values: []string{"c", "d"}},
	}
	for _, c := range all {
		if rapid.Bool().Draw(t, "where") {
			p.Where = append(p.Where, c)
		}
	}
	if kind != spec.Daemon && rapid.Bool().Draw(t, "spread") {
		p.Spread = []string{"zone", "a.b/c"}
	}
	return p
}

func drawSchedule(t *rapid.T) spec.Schedule {
	return spec.Schedule{
		Line:     rapid.SampledFrom([]string{"* * * * *", "@every 90m", "0 3 1,15 * mon-fri", "@daily"}).Draw(t, "line"),
		Timezone: rapid.SampledFrom([]string{"", "Europe/Berlin"}).Draw(t, "zone"),
		Overlap:  rapid.SampledFrom([]spec.Overlap{spec.Skip, spec.Allow, spec.Replace}).Draw(t, "overlap"),
	}
}

// TestNew checks that a spec made by hand says what its document would.
func TestNew(t *testing.T) {
	t.Parallel()
	s := spec.New(spec.Job, "once")
	s.Run.Command = []string{"./once", "a b"}

	want := decoded(t, "job: once\nrun: {command: [./once, a b]}")
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("New (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, decoded(t, spec.Encode(s))); diff != "" {
		t.Errorf("Decode(Encode) (-want +got):\n%s", diff)
	}
}

// TestEncodeWideValues keeps how long values are spread over lines.
func TestEncodeWideValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60)
	s := decoded(t, `
service: wide
run:
  shell: |
    set -e
      exec ./web

    # done
  env: {SCRIPT: "a\nb", WORDS: "yes", NUMBER: 1, EMPTY: "", TRAILING: "a \nb", COLON: "a: b", WIDE: `+long+long+`}
ports: [`+long+", "+long[1:]+`]
routes: [{host: `+long+`.example.com, path: /`+long+`, port: `+long+`}]
`)
	compareGolden(t, "wide.txt", spec.Encode(s))
}
