package spec_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/specfile"
)

// FuzzDecode puts any text into each field that has a grammar of its own: what
// is taken must read back the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "0", "-1", "1e9", "25%", "101%", "1d2h3m", "1.5s", "99999999999h", "zone in [a, b]", "not has a", "a != b", "in [",
		"0 3 * * mon-fri", "*/5 * * * *", "@every 1h", "TZ=", "CRON_TZ=a b", "1-2-3 * * * *", "*/0 * * * *", "Europe/Berlin",
		"https://a/b.zip", "file:///a", "*.a.b", "/a/b/", "../a", "a b ${PORT_A}", "${", "256MiB", "20-29", "{a,b}", "user:group", "\xff", "\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, quoted bool) {
		for field, document := range documents(spec.Node{Kind: spec.Scalar, Value: text, Quoted: quoted}) {
			s, err := spec.Decode(document, zones)
			if err != nil {
				continue
			}
			printed := spec.Encode(s)
			nodes, err := specfile.Parse("", []byte(printed))
			if err != nil {
				t.Fatalf("%s: %v\nin:\n%s", field, err, printed)
			}
			back, err := spec.Decode(nodes[0], zones)
			if err != nil {
				t.Fatalf("%s: %v\nin:\n%s", field, err, printed)
			}
			if diff := cmp.Diff(s, back); diff != "" {
				t.Fatalf("%s: Decode(Encode) (-want +got):\n%s", field, diff)
			}
		}
	})
}

// documents returns a document for each field, with the value in that field.
func documents(value spec.Node) map[string]spec.Node {
	text := func(s string) spec.Node { return spec.Node{Kind: spec.Scalar, Value: s, Quoted: true} }
	record := func(pairs ...any) spec.Node {
		node := spec.Node{Kind: spec.Map}
		for i := 0; i < len(pairs); i += 2 {
			node.Entries = append(node.Entries, spec.Entry{Key: text(fmt.Sprint(pairs[i])), Value: pairs[i+1].(spec.Node)})
		}
		return node
	}
	items := func(nodes ...spec.Node) spec.Node { return spec.Node{Kind: spec.List, Items: nodes} }
	run := record("command", items(text("./a")))
	service := func(field string, v spec.Node) spec.Node {
		return record("service", text("a"), "run", run, "ports", items(text("a")), field, v)
	}
	cron := func(field string, v spec.Node) spec.Node { return record("cron", text("a"), "run", run, field, v) }
	program := func(pairs ...any) spec.Node { return record("service", text("a"), "run", record(pairs...)) }
	command := []any{"command", items(text("./a"))}
	return map[string]spec.Node{
		"service":    record("service", value, "run", run),
		"instances":  service("instances", value),
		"pool":       service("pool", value),
		"cpus":       service("resources", record("cpus", value)),
		"mem":        service("resources", record("mem", value)),
		"tape":       service("resources", record("tape", value)),
		"surge":      service("deploy", record("surge", value)),
		"settle":     service("deploy", record("settle", value)),
		"on_failure": service("deploy", record("on_failure", value)),
		"where":      service("placement", record("where", items(value))),
		"spread":     service("placement", record("spread", items(value))),
		"host":       service("route", record("host", value)),
		"path":       service("route", record("path", value)),
		"http":       service("ready", record("http", value)),
		"tcp":        service("ready", record("tcp", value)),
		"grpc":       service("ready", record("grpc", value)),
		"size":       service("logs", record("size", value)),
		"schedule":   cron("schedule", value),
		"timezone":   record("cron", text("a"), "run", run, "schedule", text("@daily"), "timezone", value),
		"command":    program("command", value),
		"argument":   program("command", items(text("./a"), value)),
		"shell":      program("shell", value),
		"env":        program(append(command, "env", record("A", value))...),
		"dir":        program(append(command, "dir", value)...),
		"user":       program(append(command, "user", value)...),
		"url":        program(append(command, "fetch", items(record("url", value)))...),
		"sha256":     program(append(command, "fetch", items(record("url", text("http://a/b"), "sha256", value)))...),
		"dest":       program(append(command, "fetch", items(record("url", text("http://a/b"), "dest", value)))...),
	}
}
