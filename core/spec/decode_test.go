package spec_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// example is the document that the manual begins with.
const example = `
service: hello
pool: web                    # or pools: [web, spare]
instances: 4
resources: {cpus: 0.25, mem: 64MiB}
run:
  command: [./hello, --listen, ":${PORT_HTTP}"]
  env: {GREETING: hi}
  fetch: [{url: "file:///opt/builds/hello-v2.tar.gz", sha256: 2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE}]
ports: [http]
ready: {http: /ready, port: http, every: 1s, timeout: 1s}
route: {host: hello.localhost, port: http}
deploy: {surge: 1, unavailable: 0, settle: 2s, deadline: 5m, drain: 30s, grace: 10s, on_failure: rollback}
placement: {where: ["zone in [b, a]"], spread: [zone, host]}
`

func TestDecodeExample(t *testing.T) {
	t.Parallel()
	resources, err := resource.NewVector(
		resource.Item{Type: resource.CPUs, Quantity: resource.Scalar(250)},
		resource.Item{Type: resource.Mem, Quantity: resource.Scalar(64 << 20)},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := &spec.Spec{
		Kind: spec.Service, Name: "hello", Pools: []id.Pool{"web"}, Instances: 4, Resources: resources,
		Run: spec.Run{
			Command: []string{"./hello", "--listen", ":${PORT_HTTP}"},
			Env:     map[string]string{"GREETING": "hi"},
			Fetch: []spec.Artifact{{
				URL:    "file:///opt/builds/hello-v2.tar.gz",
				SHA256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
				Unpack: true,
			}},
		},
		Ports: []spec.Port{{Name: "http"}},
		Ready: spec.Probe{
			Kind: spec.HTTPProbe, Path: "/ready", Port: "http", Every: time.Second, Timeout: time.Second, Failures: 3,
		},
		Routes: []spec.Route{{Host: "hello.localhost", Path: "/", Port: "http", Hold: 10 * time.Second}},
		Deploy: spec.Deploy{
			Surge: spec.Amount{Count: 1}, Settle: 2 * time.Second, Deadline: 5 * time.Minute,
			Drain: 30 * time.Second, Grace: 10 * time.Second, Failures: 2,
		},
		Placement: spec.Placement{
			Where:  []spec.Constraint{{Attribute: "zone", Operator: spec.In, Values: []string{"a", "b"}}},
			Spread: []string{"zone", "host"},
		},
		Logs:   spec.Logs{SizeBytes: 10 << 20, Files: 5},
		OnLost: spec.OnLost{After: 6 * time.Second},
	}

	got := decoded(t, example)

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
}

// TestDecodeDefaults keeps what each kind is when its document says no more
// than it must, or asks for something that other defaults depend on.
func TestDecodeDefaults(t *testing.T) {
	t.Parallel()
	documents := []string{
		"service: web\nrun: {command: [./web]}",
		"job: once\nrun: {shell: echo done}",
		"daemon: scout\nrun: {command: ./scout --all}",
		"cron: nightly\nschedule: 30 3 * * *\nrun: {command: [./clean]}",
		"# with a route it gets a probe\nservice: routed\nrun: {command: [./web]}\nports: [http]\nroute: {}",
		"# ports with numbers cannot surge on one agent\ndaemon: fixed\nrun: {command: [./web]}\nports: [{name: http, number: 80}]",
		"# probes\nservice: probed\nrun: {command: [./web]}\nports: [http]\nready: {grpc: true}\nalive: {command: ./check now}",
	}
	var story strings.Builder
	for _, document := range documents {
		fmt.Fprintf(&story, "%s\n\n=>\n\n%s\n\n", document, spec.Encode(decoded(t, document)))
	}
	compareGolden(t, "defaults.txt", story.String())
}

// TestDecodeTellsAllProblems keeps what is said about a document in which nearly
// everything is wrong.
func TestDecodeTellsAllProblems(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/problems.yaml")
	if err != nil {
		t.Fatal(err)
	}

	_, err = spec.Decode(parsed(t, string(text)), zones)

	compareGolden(t, "problems.txt", err.Error()+"\n")
}

func TestDecodeTakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		got  func(*spec.Spec) any
		want any
	}{
		"a command in a line": {
			"service: web\nrun: {command: \"./web  --at ${HOME}\"}",
			func(s *spec.Spec) any { return s.Run.Command },
			[]string{"./web", "--at", "${HOME}"},
		},
		"numbers and flags as arguments": {
			"service: web\nrun: {command: [sleep, 60, true, 0x1F]}",
			func(s *spec.Spec) any { return s.Run.Command },
			[]string{"sleep", "60", "true", "0x1F"},
		},
		"numbers and flags as variables": {
			"service: web\nrun: {command: [a], env: {A: 1.50, B: true, C: \"\"}}",
			func(s *spec.Spec) any { return s.Run.Env },
			map[string]string{"A": "1.50", "B": "true", "C": ""},
		},
		"a user by number": {
			"service: web\nrun: {command: [a], user: 1000}",
			func(s *spec.Spec) any { return s.Run.User },
			"1000",
		},
		"no instances": {
			web + "instances: 0",
			func(s *spec.Spec) any { return s.Instances },
			0,
		},
		"a path with a slash at its end": {
			route("path: /api/"),
			func(s *spec.Spec) any { return s.Routes[0].Path },
			"/api",
		},
		"a host in capitals": {
			route(`host: "*.Example.COM"`),
			func(s *spec.Spec) any { return s.Routes[0].Host },
			"*.example.com",
		},
		"durations in all units": {
			web + "ports: [a]\nready: {tcp: a, every: 1m30s, timeout: 1500us}\ndeploy: {settle: 1.5s, deadline: 1d2h}",
			func(s *spec.Spec) any {
				return []time.Duration{s.Ready.Every, s.Ready.Timeout, s.Deploy.Settle, s.Deploy.Deadline}
			},
			[]time.Duration{90 * time.Second, 1500 * time.Microsecond, 1500 * time.Millisecond, 26 * time.Hour},
		},
		"conditions in all forms": {
			web + `placement: {where: [zone=a, zone == a, zone != b, "zone in [c, b,b]", "zone not in [x]", has ssd, exists gpu, not has tape, not exists fax]}`,
			func(s *spec.Spec) any {
				var texts []string
				for _, c := range s.Placement.Where {
					texts = append(texts, c.String())
				}
				return texts
			},
			[]string{"has gpu", "has ssd", "not has fax", "not has tape", "zone != b", "zone != x", "zone = a", "zone in [b, c]"},
		},
		"a share of nothing is nothing": {
			web + "deploy: {unavailable: 0%}",
			func(s *spec.Spec) any { return s.Deploy.Unavailable },
			spec.Amount{},
		},
		"custom resources, and nothing of one": {
			web + "resources: {gpus: 0, tpus: 2, lanes: 1-4, licenses: \"{b,a}\"}",
			func(s *spec.Spec) any { return s.Resources.String() },
			"cpus 0.1, lanes 1-4, licenses {a,b}, mem 64MiB, tpus 2",
		},
		"the variable of a port that is not": {
			"service: web\nrun: {command: [a, \"${PORT_X}\"], env: {PORT_X: 1}}",
			func(s *spec.Spec) any { return s.Run.Command },
			[]string{"a", "${PORT_X}"},
		},
		"a variable that adds to itself": {
			"service: web\nrun: {command: [a], env: {PATH: \"${PATH}:/opt\"}}",
			func(s *spec.Spec) any { return s.Run.Env },
			map[string]string{"PATH": "${PATH}:/opt"},
		},
		"lists in any order": {
			web + "pools: [b, a]\nports: [z, y]\nroutes: [{host: b, port: z}, {path: /x, port: z}, {port: y}]",
			func(s *spec.Spec) any { return fmt.Sprint(s.Pools, s.Ports, s.Routes) },
			"[a b] [{y 0} {z 0}] [{ / 0 y 10s} { /x 0 z 10s} {b / 0 z 10s}]",
		},
		"UTC by name": {
			nightly + "\"@daily\"\ntimezone: UTC",
			func(s *spec.Spec) any { return s.Schedule },
			spec.Schedule{Line: "@daily"},
		},
		"a zone that is known": {
			nightly + "0 3 * * mon-fri\ntimezone: Europe/Berlin\noverlap: replace",
			func(s *spec.Spec) any { return s.Schedule },
			spec.Schedule{Line: "0 3 * * mon-fri", Timezone: "Europe/Berlin", Overlap: spec.Replace},
		},
		"archives by the end of the URL": {
			"service: web\nrun: {command: [a], fetch: [{url: http://x/a.TGZ?b#c}, {url: http://x/a.tar.gz, unpack: false}, {url: http://x/a}]}",
			func(s *spec.Spec) any {
				return []bool{s.Run.Fetch[0].Unpack, s.Run.Fetch[1].Unpack, s.Run.Fetch[2].Unpack}
			},
			[]bool{true, false, false},
		},
		"the kind behind other fields": {
			"run: {command: [a]}\njob: late",
			func(s *spec.Spec) any { return s.Name },
			id.Service("late"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.got(decoded(t, tc.text))); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecodeWithoutZones checks that only UTC is taken on trust.
func TestDecodeWithoutZones(t *testing.T) {
	t.Parallel()
	text := nightly + "\"@daily\"\ntimezone: "

	_, unknown := spec.Decode(parsed(t, text+"Europe/Berlin"), nil)
	_, known := spec.Decode(parsed(t, text+"UTC"), nil)

	if unknown == nil || known != nil {
		t.Errorf("errors are %v for Berlin and %v for UTC", unknown, known)
	}
}

// TestDecodeBoundsProblems checks that a file of another kind does not fill the
// screen.
func TestDecodeBoundsProblems(t *testing.T) {
	t.Parallel()
	document := spec.Node{Kind: spec.Map, Line: 1}
	for i := range 5000 {
		key := spec.Node{Kind: spec.Scalar, Line: 5000 - i, Value: fmt.Sprint("k", i)}
		document.Entries = append(document.Entries, spec.Entry{Key: key})
	}

	_, err := spec.Decode(document, zones)

	problems, ok := errors.AsType[spec.Problems](err)
	if !ok || len(problems) != 1001 {
		t.Fatalf("%d problems", len(problems))
	}
	if problems[0].Line != 1 || problems[1000].Message != "4002 more problems follow" {
		t.Errorf("the first is %v, the last %v", problems[0], problems[1000])
	}
}

// TestDecodeWithoutLines checks problems of documents that were not read from a
// file, and of text that no file has.
func TestDecodeWithoutLines(t *testing.T) {
	t.Parallel()
	scalar := func(text string) spec.Node { return spec.Node{Kind: spec.Scalar, Value: text} }
	entry := func(key string, value spec.Node) spec.Entry { return spec.Entry{Key: scalar(key), Value: value} }
	document := spec.Node{Kind: spec.Map, Entries: []spec.Entry{
		entry("service", scalar("web")),
		entry("run", spec.Node{Kind: spec.Map, Entries: []spec.Entry{entry("shell", scalar("a\xffb"))}}),
	}}

	_, err := spec.Decode(document, zones)

	if err == nil || err.Error() != `run.shell: found "a\xffb"; want a shell line: it is not UTF-8` {
		t.Errorf("Decode = %v", err)
	}
}
