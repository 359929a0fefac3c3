// Command figures measures what aloft promises and writes bench/RESULTS.md: how
// fast it starts, deploys, rolls, gives up and runs jobs, how much memory it
// takes idle, and how its router stands beside HAProxy, nginx, Go's own proxy
// and the bare backend.
//
// All of it runs the real binary on loopback; what is compared is measured in
// one run, in turns. It ends with exit code 1 when a figure misses its bar.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/process"
	"github.com/aloft-run/aloft/bench/rival"
)

// proxyWord makes this program a bare proxy, to measure beside the others.
const proxyWord = "reverse-proxy"

// errMissed ends a bench in which a figure missed its bar.
var errMissed = errors.New("a figure missed its bar")

// options are what a bench is started with.
type options struct {
	aloft   string
	source  string
	results string
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
	if len(arguments) == 3 && arguments[0] == proxyWord {
		return rival.ServeReverseProxy(ctx, arguments[1], arguments[2])
	}
	var opts options
	flags := flag.NewFlagSet("figures", flag.ContinueOnError)
	flags.StringVar(&opts.aloft, "aloft", "bin/aloft", "the `binary` to measure")
	flags.StringVar(&opts.source, "source", ".", "`folder` of the repository, for building the example service")
	flags.StringVar(&opts.results, "results", "bench/RESULTS.md", "`file` to write")
	if err := flags.Parse(arguments); err != nil {
		return err
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
	if err := b.measureCluster(ctx); err != nil {
		return err
	}
	if err := b.measureRouter(ctx); err != nil {
		return err
	}
	text := b.results.markdown()
	fmt.Fprintf(out, "\n%s", text)
	if err := os.WriteFile(opts.results, []byte(text), 0o644); err != nil {
		return err
	}
	if b.results.missed() {
		return errMissed
	}
	return nil
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
