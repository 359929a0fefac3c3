// Command chaos makes every part of a cluster fail while it works, and counts what
// that cost.
//
// Three masters, five agents and two routers run as real processes, each on a machine
// of its own that is made of namespaces. Clients send requests, operators deploy,
// scale, restart, roll back, drain and run jobs, and by a seed parts are killed, stopped, cut
// off and started again. It ends with exit code 0 only if no request was lost that
// was safe to save, no law was broken, everything came to rest, books, tasks and
// processes agree, and nothing was left behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/machine"
)

// errInterrupted ends a run by Ctrl-C.
var errInterrupted = errors.New("interrupted")

// options are what a run is started with.
type options struct {
	aloft    string
	duration time.Duration
	rate     int
	seed     uint64
	keep     string
	only     string
}

func main() {
	if len(os.Args) > 1 {
		if be, ok := map[string]func([]string) error{instanceWord: beInstance, workWord: beWorker}[os.Args[1]]; ok {
			if err := be(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	var opts options
	flag.StringVar(&opts.aloft, "aloft", "bin/aloft", "the `binary` to try")
	flag.DurationVar(&opts.duration, "duration", 5*time.Minute, "how long parts are made to fail")
	flag.IntVar(&opts.rate, "rate", 2000, "requests per second")
	flag.Uint64Var(&opts.seed, "seed", 0, "of the faults and of what operators do; 0 draws one")
	flag.StringVar(&opts.keep, "keep", "", "`folder` for logs and state, which stays; default: a temporary one, which does not")
	flag.StringVar(&opts.only, "only", "", "make only faults that match this `pattern`, such as \"agent\" or \"router cut off$\"")
	flag.Parse()
	if _, err := regexp.Compile(opts.only); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: --only:", err)
		os.Exit(2)
	}
	if err := machine.Missing(); err != nil {
		fmt.Fprintln(os.Stdout, "skipped:", err)
		return
	}
	if opts.seed == 0 {
		opts.seed = uint64(time.Now().UnixNano()) % 1_000_000 //nolint:gosec // short enough to type
	}
	os.Exit(machine.Main(func() int { return inWorld(opts) }))
}

// inWorld runs where machines can be made, and returns the exit code.
func inWorld(opts options) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1) // the first one counts
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	if err := run(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	return 0
}

// run makes the cluster in a folder, plays, and clears everything away.
func run(ctx context.Context, opts options) (err error) {
	folder := opts.keep
	if folder == "" {
		if folder, err = os.MkdirTemp("", "aloft-chaos-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	for _, inside := range []string{"journals", jobsFolder} {
		if err := os.MkdirAll(filepath.Join(folder, inside), 0o755); err != nil {
			return err
		}
	}
	aloft, err := filepath.Abs(opts.aloft)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	all, err := newParts(aloft, folder)
	if err != nil {
		return err
	}
	s := newStory(opts, all, self, os.Stdout)
	defer func() {
		err = errors.Join(err, all.off(context.WithoutCancel(ctx)))
		removeGroups(s.groups)
	}()
	return s.play(ctx)
}
