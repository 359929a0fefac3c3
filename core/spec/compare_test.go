package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/spec"
)

// TestCompare goes through every field: what is said of a change, and whether it
// needs new instances (marked by a star).
func TestCompare(t *testing.T) {
	t.Parallel()
	const (
		service = "service: a\nports: [http, {name: admin, number: 81}]\nrun: {command: [./a]}\n"
		routed  = service + "route: {host: x.y, port: http}\nready: {tcp: http}\n"
		daemon  = "daemon: a\nrun: {command: [./a]}\n"
		once    = "job: a\nrun: {command: [./a]}\n"
		nightly = "cron: a\nrun: {command: [./a]}\nschedule: \"@daily\"\n"
	)
	tests := map[string]struct{ from, to, want string }{
		"nothing":           {service, service, ""},
		"the order of keys": {"pool: b\n" + service, service + "pools: [b]", ""},
		"the order of ports": {
			service, "service: a\nports: [{name: admin, number: 81}, http]\nrun: {command: [./a]}\n", "",
		},

		"instances":      {service, service + "instances: 3", "instances: 1 -> 3"},
		"copies":         {once, once + "copies: 3", "copies: 1 -> 3"},
		"the first pool": {service, service + "pool: b", "*pools:  -> [b]"},
		"another pool":   {service + "pool: b", service + "pools: [c, b]", "*pools: [b] -> [b, c]"},
		"cpus":           {service, service + "resources: {cpus: 2}", "*resources.cpus: 0.1 -> 2"},
		"a custom resource": {
			service, service + "resources: {tape: 2}", "*resources.tape:  -> 2",
		},

		"the command": {
			service, strings.Replace(service, "[./a]", "[./a, b c]", 1), `*run.command: [./a] -> [./a, "b c"]`,
		},
		"a shell line for the command": {
			service, strings.Replace(service, "command: [./a]", "shell: ./a", 1), "*run.command: [./a] -> \n*run.shell:  -> ./a",
		},
		"variables": {
			strings.Replace(service, "[./a]", "[./a], env: {A: x, B: x}", 1),
			strings.Replace(service, "[./a]", "[./a], env: {A: z, C: x}", 1),
			"*run.env.A: x -> z\n*run.env.B: x -> \n*run.env.C:  -> x",
		},
		"the first variable": {
			service, strings.Replace(service, "[./a]", "[./a], env: {A: x}", 1), "*run.env:  -> {A: x}",
		},
		"dir and user": {
			service, strings.Replace(service, "[./a]", "[./a], dir: b, user: c", 1), "*run.dir:  -> b\n*run.user:  -> c",
		},
		"an artifact": {
			service, strings.Replace(service, "[./a]", "[./a], fetch: [{url: http://x/y}]", 1),
			`*run.fetch:  -> [{url: "http://x/y", unpack: false, executable: false}]`,
		},

		"another port": {service, strings.Replace(service, "[http,", "[http, ftp,", 1), "*ports[ftp]:  -> ftp"},
		"a port less":  {service, strings.Replace(service, "[http,", "[", 1), "*ports[http]: http -> "},
		"a port's number": {
			service, strings.Replace(service, "81", "82", 1), "*ports[admin].number: 81 -> 82",
		},
		"a number for a port": {
			service, strings.Replace(service, "http", "{name: http, number: 80}", 1), "*ports[http]: http -> {name: http, number: 80}",
		},

		"a probe": {
			service, service + "ready: {tcp: http}", "*ready:  -> {tcp: true, port: http, every: 1s, timeout: 1s, failures: 3}",
		},
		"how a probe asks": {
			service + "alive: {tcp: http}", service + "alive: {http: /, port: admin, every: 2s}",
			"*alive.every: 10s -> 2s\n*alive.http:  -> /\n*alive.port: http -> admin\n*alive.tcp: true -> ",
		},

		"a route's host": {
			routed, strings.Replace(routed, "x.y", "y.x", 1),
			"routes[x.y/]: {host: x.y, path: /, port: http, hold: 10s} -> \nroutes[y.x/]:  -> {host: y.x, path: /, port: http, hold: 10s}",
		},
		"a route's path": {
			routed, strings.Replace(routed, "x.y", "x.y, path: /z", 1),
			"routes[x.y/]: {host: x.y, path: /, port: http, hold: 10s} -> \nroutes[x.y/z]:  -> {host: x.y, path: /z, port: http, hold: 10s}",
		},
		"a route's hold": {routed, strings.Replace(routed, "x.y", "x.y, hold: 1s", 1), "routes[x.y/].hold: 10s -> 1s"},
		"a route's port": {
			routed, strings.Replace(routed, "y, port: http", "y, port: admin", 1), "*routes[x.y/].port: http -> admin",
		},
		"a route beside another": {
			routed, strings.Replace(routed, "route: {host: x.y, port: http}", "routes: [{host: a.a, port: admin}, {host: x.y, port: http}]", 1),
			"routes[a.a/]:  -> {host: a.a, path: /, port: admin, hold: 10s}",
		},
		"a route of connections": {
			routed, strings.Replace(routed, "route: {host: x.y, port: http}", "routes: [{port: 53, to: http}, {host: x.y, port: http}]", 1),
			"routes[53]:  -> {port: 53, to: http, hold: 10s}",
		},
		"its port": {
			service + "ready: {tcp: http}\nroutes: [{port: 53, to: http}]", service + "ready: {tcp: http}\nroutes: [{port: 54, to: http}]",
			"routes[53]: {port: 53, to: http, hold: 10s} -> \nroutes[54]:  -> {port: 54, to: http, hold: 10s}",
		},
		"where it leads": {
			service + "ready: {tcp: http}\nroutes: [{port: 53, to: http}]", service + "ready: {tcp: http}\nroutes: [{port: 53, to: admin}]",
			"*routes[53].to: http -> admin",
		},
		"the first route, and its probe": {
			service, service + "route: {port: http}",
			"*ready:  -> {tcp: true, port: http, every: 1s, timeout: 1s, failures: 3}\nroutes:  -> [{path: /, port: http, hold: 10s}]",
		},

		"every setting of deployments": {
			service,
			service + "deploy: {surge: 25%, unavailable: 1, settle: 1s, deadline: 1m, drain: 1s, grace: 1s, failures: 5, on_failure: pause}",
			"deploy.deadline: 5m -> 1m\ndeploy.drain: 30s -> 1s\ndeploy.failures: 2 -> 5\ndeploy.grace: 10s -> 1s\n" +
				"deploy.on_failure: rollback -> pause\ndeploy.settle: 2s -> 1s\ndeploy.surge: 1 -> 25%\ndeploy.unavailable: 0 -> 1",
		},
		"where": {
			service, service + "placement: {where: [zone = a]}", `*placement.where:  -> ["zone = a"]`,
		},
		"spread": {
			service + "placement: {where: [has a], spread: [zone]}", service + "placement: {where: [has a], spread: [host]}",
			"placement.spread: [zone] -> [host]",
		},
		"logs":         {service, service + "logs: {size: 1MiB, files: 2}", "logs.files: 5 -> 2\nlogs.size: 10MiB -> 1MiB"},
		"on_partition": {daemon, daemon + "on_partition: stop\non_lost: {after: 15s}", "on_lost.after: 6s -> 15s\n*on_partition: run -> stop"},
		"on_lost":      {daemon, daemon + "on_lost: {after: 1m}", "on_lost.after: 6s -> 1m"},
		"retries and timeout": {
			once, once + "retries: 2\ntimeout: 1h", "retries: 0 -> 2\ntimeout:  -> 1h",
		},
		"a schedule": {
			nightly, strings.Replace(nightly, "@daily", "@hourly", 1) + "timezone: Europe/Berlin\noverlap: allow",
			"overlap: skip -> allow\nschedule: \"@daily\" -> \"@hourly\"\ntimezone:  -> Europe/Berlin",
		},
		"a secret is no different": {
			strings.Replace(once, "[./a]", "[./a], env: {PASSWORD: old}", 1),
			strings.Replace(once, "[./a]", "[./a], env: {PASSWORD: new}", 1),
			"*run.env.PASSWORD: old -> new",
		},
		"a daemon for a job": {
			once, daemon,
			"copies: 1 -> \n*daemon:  -> a\ndeploy.deadline:  -> 5m\ndeploy.drain:  -> 30s\ndeploy.failures:  -> 2\n" +
				"deploy.on_failure:  -> rollback\ndeploy.settle:  -> 2s\ndeploy.surge:  -> 1\ndeploy.unavailable:  -> 0\n" +
				"*job: a -> \non_lost.after: 1m -> 6s\nretries: 0 -> ",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := spec.Compare(decoded(t, tc.from), decoded(t, tc.to))

			if diff := cmp.Diff(tc.want, printed(got)); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
			if want := strings.Contains(tc.want, "*"); got.Replaces != want {
				t.Errorf("Replaces is %v, want %v", got.Replaces, want)
			}
		})
	}
}

func printed(d spec.Diff) string {
	var lines []string
	for _, c := range d.Changes {
		star := ""
		if c.Replaces {
			star = "*"
		}
		lines = append(lines, fmt.Sprintf("%s%s: %s -> %s", star, c.Field, c.From, c.To))
	}
	return strings.Join(lines, "\n")
}
