// Command demo shows what aloft is for: it changes what a service runs, in every
// way that an operator or an accident does, while 1,000 requests per second flow,
// and counts what was lost.
//
// It starts a cluster of the real binary in a temporary folder, prints one line
// for each phase and ends with exit code 0 only if no request failed, every phase
// came to its end, and neither a process nor a file was left behind.
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
	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/process"
	"github.com/aloft-run/aloft/bench/report"
)

// errInterrupted ends a demo by Ctrl-C.
var errInterrupted = errors.New("interrupted")

// options are what a demo is started with.
type options struct {
	aloft    string
	source   string
	rate     int
	requests int
}

func main() {
	var opts options
	flag.StringVar(&opts.aloft, "aloft", "bin/aloft", "the `binary` to show")
	flag.StringVar(&opts.source, "source", ".", "`folder` of the repository, for building the example service")
	flag.IntVar(&opts.rate, "rate", 1000, "requests per second")
	flag.IntVar(&opts.requests, "requests", 60_000, "go on until so many were sent")
	flag.Parse()

	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1) // the first one counts
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	err := run(ctx, opts, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run plays the demo in a temporary folder, and clears everything away.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	if err := process.Adopt(); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "aloft-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clearAway(folder)) }()

	fmt.Fprintln(out, "building five releases of the example service")
	releases := make(map[string]builds.Release)
	for _, version := range []string{"v1", "v2", "v3", "v4", "v5"} {
		releases[version], err = builds.Build(ctx, opts.source, folder, version)
		if err != nil {
			return causeOf(ctx, err)
		}
	}
	running, err := cluster.Start(ctx, cluster.Config{Aloft: opts.aloft, Folder: folder, Agents: 2})
	if err != nil {
		return causeOf(ctx, err)
	}
	fmt.Fprintf(out, "a cluster with two agents was ready after %s; its router is %s\n\n", report.Duration(running.Took), running.HTTP)
	s := &story{opts: opts, cluster: running, releases: releases, table: table{out: out}}
	played := causeOf(ctx, s.play(ctx))
	if played != nil && !errors.Is(played, errInterrupted) {
		fmt.Fprintf(out, "the cluster's log ends with:\n%s\n", running.Log())
	}
	return errors.Join(played, running.Stop(), leftBehind())
}

// causeOf returns why ctx ended, if it did, in place of what followed from it.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// leftBehind tells which processes a cluster that was stopped has left.
func leftBehind() error {
	left, err := process.Descendants(os.Getpid())
	for _, p := range left {
		err = errors.Join(err, fmt.Errorf("left behind: process %d, %s", p.PID, p.Command))
	}
	return err
}

// clearAway ends every process that is left, and removes the folder.
func clearAway(folder string) error {
	_, err := process.KillDescendants()
	return errors.Join(err, os.RemoveAll(folder))
}
