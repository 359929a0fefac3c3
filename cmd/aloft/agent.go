package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/machine"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/telemetry"
)

// agentFlags are what an agent is told on its command line; a configuration
// file gives way to them.
type agentFlags struct {
	id         string
	masters    []string
	dataDir    string
	config     string
	address    string
	ports      string
	attributes []string
	limits     string
	admin      string
	drain      bool
	within     time.Duration // for a drain
	common     commonFlags
}

func agentCommand() *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of this machine",
		Long: "Run the agent of this machine: it offers the machine's resources, runs tasks and probes them.\n\n" +
			"When the agent ends, its tasks run on, and a new agent on the same data folder takes them up again.\n" +
			"With --drain, SIGTERM has them moved to other machines first, and the machine can be switched off then.\n" +
			"SIGUSR2 has it go on with the binary that is now in its place; tasks run on then, too.",
		Example: "  aloft agent --master http://10.0.0.1:7117 --data-dir /var/lib/aloft --attribute zone=a",
		Args:    cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.common.logger(cmd.ErrOrStderr(), "agent")
			if err := errors.Join(err, flags.check()); err != nil {
				return err
			}
			return replaceable(cmd.Context(), log, func(ctx context.Context) error { return runAgent(ctx, flags, log) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.id, "id", "", "name of this agent (default: the host name)")
	f.StringSliceVar(&flags.masters, "master", []string{client.DefaultAddress}, "address of a master; may be given several times")
	f.StringVar(&flags.dataDir, "data-dir", "/var/lib/aloft/agent", "folder for tasks, logs and sandboxes")
	f.StringVar(&flags.config, "config", "", "file with id, address, attributes and partitions")
	f.StringVar(&flags.address, "address", "", "where routers reach this machine (default 127.0.0.1)")
	f.StringVar(&flags.ports, "ports", machine.PortsDefault, "ports to offer to tasks")
	f.StringArrayVar(&flags.attributes, "attribute", nil, "name=value for placement; may be given several times")
	f.StringVar(&flags.limits, "limits", string(runtime.LimitsSoft), "how tasks are held to their cpus: soft, hard or off")
	f.StringVar(&flags.admin, "admin", "", "address for health, readiness and metrics, such as 127.0.0.1:7118")
	f.BoolVar(&flags.drain, "drain", false, "at SIGTERM have all tasks moved away before it ends; a second one ends it at once, and they run on")
	f.DurationVar(&flags.within, "drain-timeout", 5*time.Minute, "how long that may take; what is left then runs on")
	flags.common.add(f)
	return cmd
}

// check refuses flags that cannot be meant.
func (f agentFlags) check() error {
	switch runtime.Limits(f.limits) {
	case runtime.LimitsSoft, runtime.LimitsHard, runtime.LimitsOff:
	default:
		return cli.UsageError("--limits: found %q; want soft, hard or off", f.limits)
	}
	if f.within <= 0 {
		return cli.UsageError("--drain-timeout: found %v; want a time above 0s", f.within)
	}
	if _, err := resource.Parse(resource.Ports, cmp.Or(f.ports, machine.PortsDefault)); err != nil {
		return cli.UsageError("--ports: %v", err)
	}
	return cmp.Or(checkMasters(f.masters), checkFolder(f.dataDir), checkID("--id", f.id), checkAdmin(f.admin))
}

// agentConfig joins what the machine has, the file and the flags.
func agentConfig(flags agentFlags, log *slog.Logger) (agent.Config, error) {
	var file machine.File
	if flags.config != "" {
		text, err := os.ReadFile(flags.config)
		if err != nil {
			return agent.Config{}, cli.UsageError("--config: %v", err)
		}
		if file, err = machine.ParseFile(text); err != nil {
			return agent.Config{}, cli.UsageError("--config: %s: %v", flags.config, err)
		}
	}
	if err := os.MkdirAll(flags.dataDir, 0o755); err != nil {
		return agent.Config{}, fmt.Errorf("data folder: %w", err)
	}
	found, err := machine.Detect(flags.dataDir, flags.ports)
	if err != nil {
		return agent.Config{}, err
	}
	partitions, err := file.Apply(found.Partitions)
	if err != nil {
		return agent.Config{}, cli.UsageError("--config: %s: %v", flags.config, err)
	}
	attributes := maps.Clone(file.Attributes)
	if attributes == nil {
		attributes = make(map[string]string)
	}
	for _, pair := range flags.attributes {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return agent.Config{}, cli.UsageError("--attribute: found %q; want name=value", pair)
		}
		attributes[name] = value
	}
	return agent.Config{
		ID:     id.Agent(cmp.Or(flags.id, file.ID, strings.ToLower(found.Hostname))),
		BootID: found.BootID, Hostname: found.Hostname, Version: version,
		Address: cmp.Or(flags.address, file.Address), Attributes: attributes, Partitions: partitions,
		DataDir: flags.dataDir, Log: log,
	}, nil
}

func runAgent(ctx context.Context, flags agentFlags, log *slog.Logger) error {
	cfg, err := agentConfig(flags, log)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Join(flags.dataDir, "supervisor")
	processes, err := runtime.New(runtime.Config{
		Agent: cfg.ID, Dir: dir, Supervisor: []string{self, supervisorName, "--dir", dir},
		Limits: runtime.Limits(flags.limits), Log: log,
	})
	if err != nil {
		return err
	}
	fetcher, err := fetch.New(fetch.Config{CacheDir: filepath.Join(flags.dataDir, "cache")})
	if err != nil {
		return err
	}
	masters, err := client.Open(client.Config{Masters: flags.masters, Clock: runtime.SinceBoot})
	if err != nil {
		return err
	}
	defer masters.Close()
	a, err := agent.New(cfg, masters, processes, fetcher)
	if err != nil {
		return cli.UsageError("%v", err) // flags and file made the configuration
	}
	if err := a.Open(); err != nil { // before the runtime takes over tasks that may be another's
		return err
	}
	going, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	parts, running := errgroup.WithContext(going)
	parts.Go(func() error { return processes.Run(running) })
	parts.Go(func() error { return a.Run(running) })
	parts.Go(func() error { return rest(running, log) })
	flags.common.serveAdmin(running, parts, adminPage{address: flags.admin, registry: telemetry.NewRegistry(), ready: a.Ready})
	empty := false
	parts.Go(func() error {
		select {
		case <-ctx.Done():
		case <-running.Done():
			return nil
		}
		if flags.drain && !errors.Is(context.Cause(ctx), errReplaced) {
			err := goodbye{a, cfg.ID, masters, flags.within, log}.say(running)
			if empty = err == nil; !empty {
				log.WarnContext(ctx, "not empty; what is left runs on", slog.Any("error", err))
			}
		}
		end(context.Cause(ctx))
		return nil
	})
	err = untilDone(ctx, parts.Wait())
	if err != nil || !empty {
		return err
	}
	return processes.Shutdown(context.WithoutCancel(ctx)) // nothing is left to look after
}

// supervisorName is the word that makes the binary a supervisor.
const supervisorName = "supervisor"

// supervisorCommand is what an agent starts for itself.
func supervisorCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    supervisorName,
		Short:  "Parent the tasks of an agent (an agent starts this itself)",
		Hidden: true,
		Args:   cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return errors.New("--dir is missing")
			}
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), "warn")
			if err != nil {
				return err
			}
			return supervisor.Main(cmd.Context(), supervisor.Config{Dir: dir, Log: log})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the supervisor's folder")
	return cmd
}
