package sim_test

import (
	"fmt"
	"strings"
)

// specText writes the document of a service.
func specText(a action) string {
	name := a.arg(0)
	kind := a.named("kind", "service")
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n", kind, name)
	switch kind {
	case "service":
		fmt.Fprintf(&text, "instances: %s\n", a.named("instances", "1"))
	case "job":
		fmt.Fprintf(&text, "copies: %s\nretries: 1\n", a.named("instances", "1"))
	case "cron":
		fmt.Fprintf(&text, "copies: %s\nschedule: \"* * * * *\"\noverlap: %s\n", a.named("instances", "1"), a.named("overlap", "skip"))
	}
	if a.named("on_partition", "") == "stop" {
		text.WriteString("on_partition: stop\non_lost: {after: 8s}\n")
	}
	if pool := a.named("pool", ""); pool != "" {
		fmt.Fprintf(&text, "pool: %s\n", pool)
	}
	fmt.Fprintf(&text, "resources: {cpus: %s, mem: 64MiB}\n", a.named("cpus", "0.5"))
	fmt.Fprintf(&text, "run: {command: [./x], env: {BEHAVES: %q, VERSION: %q}}\n", a.named("behaves", "ok"), a.named("version", "1"))
	if kind == "job" || kind == "cron" {
		return text.String() + "deploy: {grace: 2s}\n"
	}
	text.WriteString("ports: [http]\nready: {http: /, port: http}\n")
	if a.named("alive", "") != "" {
		text.WriteString("alive: {http: /, port: http, every: 1s, timeout: 1s, failures: 2}\n")
	}
	routed := ""
	if kind == "service" {
		fmt.Fprintf(&text, "route: {host: %s.sim, port: http}\n", name)
		routed = ", drain: " + a.named("drain", "5s")
	}
	fmt.Fprintf(&text, "deploy: {surge: %s, unavailable: %s, settle: %s, deadline: 30s%s, grace: 2s, failures: 2, on_failure: %s}\n",
		a.named("surge", "1"), a.named("unavailable", "0"), a.named("settle", "1s"), routed, a.named("on_failure", "rollback"))
	return text.String()
}
