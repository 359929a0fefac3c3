// Command figures measures what aloft promises and writes bench/RESULTS.md: how
// fast it starts, deploys, rolls, gives up and runs jobs, how much memory it
// takes idle, how its router stands beside HAProxy, nginx, Go's own proxy and the
// bare backend, and what it costs when masters, agents and machines fail.
//
// All of it runs the real binary on loopback; what is compared is measured in
// one run, in turns. It ends with exit code 1 when a figure misses its bar or a
// section breaks down, after the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/process"
	"github.com/aloft-run/aloft/bench/report"
	"github.com/aloft-run/aloft/bench/rival"
)

// These words make this program a bare proxy, to measure beside the others, and a
// WebSocket server behind all of them.
const (
	proxyWord = "reverse-proxy"
	echoWord  = "echo"
)

// sectionWithin bounds a section that does not come to its end: the others are to be
// measured nevertheless.
const sectionWithin = 12 * time.Minute

// errMissed ends a bench in which a figure missed its bar.
var errMissed = errors.New("a figure missed its bar")

// options are what a bench is started with.
type options struct {
	aloft   string
	source  string
	results string
	only    []string // sections; default: all
	quick   bool     // each fault is made once
	tasks   int      // of c1m
	agents  int      // of c1m, sessions and reads
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, arguments []string, out io.Writer) error {
	switch {
	case len(arguments) == 3 && arguments[0] == proxyWord:
		return rival.ServeReverseProxy(ctx, arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == echoWord:
		return rival.ServeEcho(ctx, arguments[1])
	}
	var opts options
	flags := flag.NewFlagSet("figures", flag.ContinueOnError)
	flags.StringVar(&opts.aloft, "aloft", "bin/aloft", "the `binary` to measure")
	flags.StringVar(&opts.source, "source", ".", "`folder` of the repository, for building the example service")
	flags.StringVar(&opts.results, "results", "bench/RESULTS.md", "`file` to write")
	only := flags.String("only", strings.Join(sections(), ","), "`sections` to measure; the others stay as they are in the results")
	flags.BoolVar(&opts.quick, "quick", false, "make each fault only once: to try the bench, not to measure")
	flags.IntVar(&opts.tasks, "tasks", 0, "`number` of tasks in c1m; with --agents it is measured in that size alone (default 1,000,000 on 5,000, and 100,000 on 50,000)")
	flags.IntVar(&opts.agents, "agents", 0, "`number` of agents in c1m, and in sessions and reads (default there 10,000)")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	for section := range strings.SplitSeq(*only, ",") {
		if !slices.Contains(sections(), section) {
			return fmt.Errorf("--only: found %q; want some of %s", section, strings.Join(sections(), ","))
		}
		opts.only = append(opts.only, section)
	}
	return run(ctx, opts, out)
}

// run measures everything in a temporary folder, and clears it away.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	if err := process.Adopt(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "aloft-bench-")
	if err != nil {
		return err
	}
	defer func() {
		_, killed := process.KillDescendants()
		err = errors.Join(err, killed, os.RemoveAll(folder))
	}()
	b := &bench{opts: opts, folder: folder, out: out, releases: make(map[string]builds.Release)}
	for _, version := range []string{"v1", "v2", "v3"} {
		b.releases[version], err = builds.Build(ctx, opts.source, folder, version)
		if err != nil {
			return err
		}
	}
	began := time.Now()
	var broken []error // a section that breaks down leaves the others as they are
	for _, section := range opts.only {
		if err := b.measure(ctx, section); err != nil {
			broken = append(broken, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.say("all of it took %s", time.Since(began).Round(time.Second))
	if b.results.missed() {
		broken = append(broken, errMissed)
	}
	return errors.Join(broken...)
}

// measure measures one section, and writes it into the results.
func (b *bench) measure(ctx context.Context, section string) error {
	began := time.Now()
	measure := map[string]func(context.Context) error{
		clusterSection: b.measureCluster, routerSection: b.measureRouter, tcpSection: b.measureTCP, faultsSection: b.measureFaults, largeSection: b.measureLarge,
		placementSection: b.measurePlacement, fairshareSection: b.measureFairShares, c1mSection: b.measureC1M, sessionsSection: b.measureSessions, readsSection: b.measureReads, growthSection: b.measureGrowth,
	}[section]
	within, cancel := context.WithTimeoutCause(ctx, sectionWithin, fmt.Errorf("it was not measured within %s", sectionWithin))
	defer cancel()
	if err := measure(within); err != nil {
		return fmt.Errorf("%s: %w", section, err)
	}
	before, err := os.ReadFile(b.opts.results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := parsePage(string(before))
	text.put(section, b.results.markdown(section))
	b.say("\n%s\nmeasured in %s\n", b.results.markdown(section), report.Duration(time.Since(began)))
	return os.WriteFile(b.opts.results, []byte(text.String()), 0o644)
}

// bench is one run.
type bench struct {
	opts     options
	folder   string
	out      io.Writer
	releases map[string]builds.Release
	results  results
}

// say tells what is going on.
func (b *bench) say(format string, arguments ...any) {
	fmt.Fprintf(b.out, format+"\n", arguments...)
}
