package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// figure is one measured number and the bar that it must not exceed.
type figure struct {
	what    string
	command string
	bar     string
	value   string
	met     bool
}

// carried is what one proxy carried in one run of the load generator.
type carried struct {
	proxy       string
	connections int
	perSecond   float64
	p50, p99    time.Duration
	cpu         time.Duration // per request
}

// passed is what one proxy carried of some traffic.
type passed struct {
	traffic, proxy, command string
	perSecond               float64
	latency                 string
	cpu                     time.Duration // each
}

// cost prints the CPU time of a request; the bare backend has no proxy that takes
// any.
func (c carried) cost() string {
	if c.cpu == 0 {
		return "-"
	}
	return micros(c.cpu)
}

// micros prints a time in microseconds.
func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000) }

// results is everything that was measured.
type results struct {
	figures []figure
	proxies []carried
	beside  []figure         // the router's rate beside others
	other   []passed         // what is not plain HTTP/1.1
	tables  map[string]*rows // of the other sections, by name
}

// add notes the median of times with its bar, 0 for none.
func (r *results) add(what, command string, bar time.Duration, times []time.Duration) {
	slices.Sort(times)
	middle := times[len(times)/2]
	value := report.Duration(middle)
	if len(times) > 1 {
		value += fmt.Sprintf(" (median of %d, from %s to %s)", len(times), report.Duration(times[0]), report.Duration(times[len(times)-1]))
	}
	f := figure{what: what, command: command, bar: "-", value: value, met: true}
	if bar > 0 {
		f.bar, f.met = "under "+report.Duration(bar), middle < bar
	}
	r.figures = append(r.figures, f)
}

// addMemory notes an amount of memory.
func (r *results) addMemory(m memory) {
	const mega = 1_000_000
	r.figures = append(r.figures, figure{
		"memory (RSS) of the idle " + m.part, "`/proc/PID/stat`",
		fmt.Sprintf("under %d MB", m.bar/mega), fmt.Sprintf("%.1f MB", float64(m.bytes)/mega), m.bytes < m.bar,
	})
}

// of returns the table of a section, which is empty at first.
func (r *results) of(section string) *rows {
	if r.tables == nil {
		r.tables = make(map[string]*rows)
	}
	if r.tables[section] == nil {
		r.tables[section] = new(rows)
	}
	return r.tables[section]
}

func (r *results) missed() bool {
	for _, table := range r.tables {
		if table.missed {
			return true
		}
	}
	return slices.ContainsFunc(slices.Concat(r.figures, r.beside), func(f figure) bool { return !f.met })
}

// markdown returns the text of a section.
func (r *results) markdown(section string) string {
	switch section {
	case clusterSection:
		return figureTable(r.figures)
	case routerSection:
		return r.routerMarkdown()
	default:
		return r.of(section).markdown()
	}
}

func figureTable(figures []figure) string {
	var text strings.Builder
	text.WriteString("| what | command | bar | figure | |\n|---|---|---|---|---|\n")
	for _, f := range figures {
		verdict := "met"
		switch {
		case f.bar == "-":
			verdict = ""
		case !f.met:
			verdict = "**missed**"
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", f.what, f.command, f.bar, f.value, verdict)
	}
	return text.String()
}

func (r *results) routerMarkdown() string {
	var text strings.Builder
	text.WriteString(figureTable(r.beside))
	fmt.Fprintf(&text, "\n`wrk --threads 2`, each proxy in turns, medians of %d runs of %v (aloft and nginx: of %d) and, with %d connections, of %d of %v. CPU is that of\n"+
		"the proxy's own processes. The backend is nginx, which answers at once with 3 bytes, deployed as a service of aloft.\n\n"+
		"| proxy | connections | requests/s | p50 | p99 | CPU per request |\n|---|---:|---:|---:|---:|---:|\n", pairRounds/restEvery, barRunTakes, pairRounds, manyConnections, rounds, runTakes)
	for _, c := range r.proxies {
		fmt.Fprintf(&text, "| %s | %d | %.0f | %s | %s | %s |\n",
			c.proxy, c.connections, c.perSecond, report.Duration(c.p50), report.Duration(c.p99), c.cost())
	}
	text.WriteString("\nAnd what is not plain HTTP/1.1, measured in the same way:\n\n" +
		"| traffic | command | proxy | each second | how long one took | CPU each |\n|---|---|---|---:|---:|---:|\n")
	for _, p := range r.other {
		fmt.Fprintf(&text, "| %s | %s | %s | %.0f | %s | %s |\n", p.traffic, p.command, p.proxy, p.perSecond, p.latency, micros(p.cpu))
	}
	return text.String()
}

// machine describes where the figures come from.
func machine() string {
	model := "unknown CPU"
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("Machine: %d cores of %s, Linux %s, %s.", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}
