package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/simulate"
)

// simulateFlags are a simulation in the words of a command line.
type simulateFlags struct {
	from   string
	file   string
	agents int
	shapes []string
	pools  []string

	trace string
	drawn simulate.Drawn

	add      []string
	remove   string
	setPools []string
	compare  bool

	until   time.Duration
	startup time.Duration
	real    bool
	speed   float64
	csv     string
	expect  []string
}

func simulateCommand() *cobra.Command {
	var flags simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Ask what a cluster would do with a workload: with more machines, or other pools",
		Long: "Ask what a cluster would do with a workload: who waits for how long, what is used, who gets how much.\n\n" +
			"The machines come from a backup or from the masters (--from), from a file, or from flags; the workload from a\n" +
			"trace or from flags. The masters' own engine decides, on a clock of its own: a day passes in seconds, nothing\n" +
			"is changed anywhere, and the same command gives the same answer. With --real it runs in real time instead, against a\n" +
			"master of its own with its agents in sessions: that shows what deciding costs, too.\n\n" +
			"With --add, --remove or --set-pool it runs twice and shows both: as it is, and as it would be.\n" +
			"With --expect it exits with 1 when a figure is not as it should be.",
		Example: "  aloft simulate --agents 100 --agent cpus=16,mem=64GiB --arrivals 5/s --size cpus=0.5..4,mem=1GiB..8GiB --length 10s..5m\n" +
			"  aloft simulate --from http://10.0.0.1:7117 --trace jobs.csv --add 20:cpus=16,mem=64GiB\n" +
			"  aloft simulate --from monday.aloft --trace jobs.csv --set-pool batch:priority=50\n" +
			"  aloft simulate --agents-file machines.yaml --trace jobs.csv --expect 'wait.p99<30s' --json",
		Args: cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSimulation(cmd, flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "`FILE` that 'aloft backup save' has written, or address of a master (http://HOST:PORT), which is only read")
	f.StringVar(&flags.file, "agents-file", "", "YAML `FILE` with machines and pools")
	f.IntVar(&flags.agents, "agents", 1, "number of machines of each --agent that says none")
	f.StringArrayVar(&flags.shapes, "agent", nil, "machines, as `[N:]TYPE=AMOUNT,...`: 20:cpus=16,mem=64GiB,zone=a; may be given several times")
	f.StringArrayVar(&flags.pools, "pool", nil, "pool of those machines, as `POOL:KEY=VALUE,...`: batch:priority=50,cpus=100; may be given several times")
	f.StringVar(&flags.trace, "trace", "", "CSV `FILE` with a job a line: arrival, length, and name, copies, cpus, mem, pool, user, ...")
	f.StringVar(&flags.drawn.Arrivals, "arrivals", "", "how jobs arrive: 5/s, 300/m or 1000/h at random, or 'every 200ms'")
	f.DurationVar(&flags.drawn.For, "for", time.Hour, "for how long they arrive")
	f.IntVar(&flags.drawn.Jobs, "jobs", 0, "how many arrive at most (default: as many as come)")
	f.StringArrayVar(&flags.drawn.Sizes, "size", nil, "what a copy takes: cpus=0.5..4,mem=1GiB|4GiB; of several, any (default cpus=1,mem=1GiB)")
	f.StringVar(&flags.drawn.Length, "length", "exp(1m)", "how long a program runs: 30s, 10s..5m, 10s|1m or exp(MEAN)")
	f.StringVar(&flags.drawn.Copies, "copies", "1", "copies of a job: 1, 1..10 or 1|8")
	f.StringVar(&flags.drawn.Pools, "pools", "", "pools of the jobs, with their shares: a=0.7,b=0.3")
	f.StringVar(&flags.drawn.Users, "users", "", "users of the jobs, with their shares: anna=1,ben=3")
	f.Uint64Var(&flags.drawn.Seed, "seed", 1, "another one draws another workload")
	f.StringArrayVar(&flags.add, "add", nil, "what if there were these machines, too: `[N:]TYPE=AMOUNT,...`; may be given several times")
	f.StringVar(&flags.remove, "remove", "", "what if these machines were not there: how many, or `AGENT,...`")
	f.StringArrayVar(&flags.setPools, "set-pool", nil, "what if a pool were so: `POOL:KEY=VALUE,...`, as batch:priority=50; may be given several times")
	f.BoolVar(&flags.compare, "compare", true, "where something is changed, run it without the change, too, and show both")
	f.DurationVar(&flags.until, "until", 0, "end then (default: when every job has ended, or none can start any more)")
	f.DurationVar(&flags.startup, "startup", 100*time.Millisecond, "from an agent's order until a program runs")
	f.BoolVar(&flags.real, "real", false, "run it in real time, against a master and agents in sessions that are started for it in this process")
	f.Float64Var(&flags.speed, "speed", 1, "with --real: arrivals and lengths are so many times as fast")
	f.StringVar(&flags.csv, "csv", "", "write what happened over time to this `FILE`")
	f.StringArrayVar(&flags.expect, "expect", nil, "what a figure should be, as `FIGURE<VALUE`: 'wait.p99<30s', 'use.cpus.mean<80%'; may be given several times")
	return cmd
}

// simulation is what the flags ask for.
type simulation struct {
	before, after simulate.Config // before: only where something is changed
	both          bool
	expected      []simulate.Expectation
}

func runSimulation(cmd *cobra.Command, flags simulateFlags) error {
	asked, err := flags.read(cmd.Context())
	if err != nil {
		return err
	}
	var reports []simulate.Named
	shown := newSimulationProgress(cmd.ErrOrStderr())
	for _, one := range []struct {
		name   string
		config simulate.Config
		wanted bool
	}{{"before", asked.before, asked.both}, {"after", asked.after, true}} {
		if !one.wanted {
			continue
		}
		one.config.Progress = shown.show
		report, err := flags.run(cmd.Context(), one.config)
		shown.clear()
		if err != nil {
			return err
		}
		reports = append(reports, simulate.Named{Run: one.name, Report: report})
	}
	if flags.csv != "" {
		err := cli.WriteNew(flags.csv, func(w io.Writer) error { return simulate.WriteSeries(w, reports...) })
		if err != nil {
			return err
		}
	}
	if err := showSimulation(cmd, reports); err != nil {
		return err
	}
	var problems []error
	for _, e := range asked.expected {
		if err := e.Check(reports[len(reports)-1].Report); err != nil {
			problems = append(problems, fmt.Errorf("expected %w", err))
		}
	}
	return errors.Join(problems...)
}

// run runs a simulation, in real time where that is asked for.
func (f simulateFlags) run(ctx context.Context, cfg simulate.Config) (*simulate.Report, error) {
	if f.real {
		return simulateReal(ctx, cfg, f.speed)
	}
	return simulate.Run(ctx, cfg)
}

func showSimulation(cmd *cobra.Command, reports []simulate.Named) error {
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	out, last := cmd.OutOrStdout(), reports[len(reports)-1].Report
	switch {
	case asJSON && len(reports) == 2:
		return json.NewEncoder(out).Encode(map[string]*simulate.Report{"before": reports[0].Report, "after": last})
	case asJSON:
		return json.NewEncoder(out).Encode(last)
	case len(reports) == 2:
		return simulate.Comparison(out, reports[0].Report, last)
	default:
		return last.Text(out)
	}
}

// read understands the flags, and reads the files and the cluster that they name.
func (f simulateFlags) read(ctx context.Context) (simulation, error) {
	change, err := f.change()
	if err != nil {
		return simulation{}, err
	}
	asked := simulation{both: f.compare && !change.None()}
	for _, text := range f.expect {
		e, err := simulate.ParseExpectation(text)
		if err != nil {
			return simulation{}, cli.UsageError("--expect: %v", err)
		}
		asked.expected = append(asked.expected, e)
	}
	if f.until < 0 {
		return simulation{}, cli.UsageError("--until: found %v; want a time after the beginning", f.until)
	}
	if f.startup < 0 {
		return simulation{}, cli.UsageError("--startup: found %v; want 0s or more", f.startup)
	}
	if f.speed <= 0 || f.speed > 10_000 {
		return simulation{}, cli.UsageError("--speed: found %g; want more than 0 and at most 10000", f.speed)
	}
	workload, err := f.workload()
	if err != nil {
		return simulation{}, err
	}
	cluster, err := f.cluster(ctx)
	if err == nil {
		cluster, err = cluster.WithPools(workload)
	}
	if err != nil {
		return simulation{}, err
	}
	changed, err := cluster.With(change)
	if err != nil {
		return simulation{}, cli.UsageError("--%v", err)
	}
	asked.after = simulate.Config{Cluster: changed, Workload: workload, Seed: f.drawn.Seed, Until: f.until, Startup: f.startup}
	if f.startup == 0 {
		asked.after.Startup = -1 // none
	}
	asked.before = asked.after
	asked.before.Cluster = cluster
	return asked, nil
}

// workload reads the trace, or draws the jobs.
func (f simulateFlags) workload() (simulate.Workload, error) {
	switch {
	case f.trace != "" && f.drawn.Arrivals != "":
		return simulate.Workload{}, cli.UsageError("--trace and --arrivals: found both; want one of them")
	case f.trace == "" && f.drawn.Arrivals == "":
		return simulate.Workload{}, cli.UsageError("a workload is missing: want --trace FILE, or --arrivals such as 5/s")
	case f.trace == "":
		w, err := f.drawn.Workload()
		if err != nil {
			return w, cli.UsageError("%v", err)
		}
		return w, nil
	}
	file, err := os.Open(f.trace)
	if err != nil {
		return simulate.Workload{}, cli.UsageError("--trace: %v", err)
	}
	defer func() { _ = file.Close() }()
	w, err := simulate.ReadTrace(f.trace, file)
	if err != nil {
		return w, cli.UsageError("%v", err)
	}
	return w, nil
}

// change is what is asked with "what if".
func (f simulateFlags) change() (simulate.Change, error) {
	var change simulate.Change
	var err error
	if change.Add, err = readShapes("add", f.add, 1); err != nil {
		return change, err
	}
	if change.Pools, err = readPools("set-pool", f.setPools); err != nil {
		return change, err
	}
	if n, err := strconv.Atoi(f.remove); err == nil {
		change.Remove = n
	} else if f.remove != "" {
		for name := range strings.SplitSeq(f.remove, ",") {
			change.RemoveNamed = append(change.RemoveNamed, id.Agent(strings.TrimSpace(name)))
		}
	}
	return change, nil
}

func readShapes(flag string, texts []string, usual int) ([]simulate.Shape, error) {
	var list []simulate.Shape
	for _, text := range texts {
		shape, err := simulate.ParseShape(text)
		if err != nil {
			return nil, cli.UsageError("--%s: %v", flag, err)
		}
		if shape.Count == 0 {
			shape.Count = usual
		}
		list = append(list, shape)
	}
	return list, nil
}

func readPools(flag string, texts []string) ([]simulate.PoolChange, error) {
	var list []simulate.PoolChange
	for _, text := range texts {
		pool, err := simulate.ParsePool(text)
		if err != nil {
			return nil, cli.UsageError("--%s: %v", flag, err)
		}
		list = append(list, pool)
	}
	return list, nil
}
