package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
)

// devAgentsMax bounds the agents of a development cluster.
const devAgentsMax = 20

// devFlags are how a development cluster is started.
type devFlags struct {
	dataDir string
	api     string
	http    string
	agents  int
	level   string
}

func devCommand() *cobra.Command {
	var flags devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine: a master, agents and a router",
		Long: "Run a whole cluster on this machine: a master, agents and a router, each in a process of its own that is\n" +
			"started again when it dies. Ctrl-C stops all of it, tasks included, and a second Ctrl-C does so at once.",
		Example: "  aloft dev\n  aloft dev --agents 3 --data-dir ./cluster",
		Args:    cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			return runDev(cmd.Context(), flags, devOutput{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: asJSON})
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.dataDir, "data-dir", "", "folder to keep the cluster in (default: a temporary one, removed at the end)")
	f.StringVar(&flags.api, "api", "127.0.0.1:7117", "address of the master's API")
	f.StringVar(&flags.http, "http", "127.0.0.1:8080", "address of the router")
	f.IntVar(&flags.agents, "agents", 1, "number of agents")
	f.StringVar(&flags.level, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

// runDev runs a cluster until ctx is done or a part of it cannot be kept up, and
// clears away what it left.
func runDev(ctx context.Context, flags devFlags, output devOutput) (err error) {
	if err := flags.check(ctx); err != nil {
		return err
	}
	dir, remove, err := flags.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	blocks, err := claimPorts(ctx, flags.agents)
	if err != nil {
		return err
	}
	defer blocks.release()
	ctx, hurry, stop := interruptions(ctx)
	defer stop()
	return newDevCluster(flags, self, dir, blocks, hurry).run(ctx, output)
}

// check refuses what cannot work before anything is started.
func (f devFlags) check(ctx context.Context) error {
	if f.agents < 1 || f.agents > devAgentsMax {
		return cli.UsageError("--agents: found %d; want 1 to %d", f.agents, devAgentsMax)
	}
	if err := checkLevel(f.level); err != nil {
		return err
	}
	for _, flag := range []struct{ name, address string }{{"--api", f.api}, {"--http", f.http}} {
		var listening net.ListenConfig
		listener, err := listening.Listen(ctx, "tcp", flag.address)
		if err != nil {
			return fmt.Errorf("%s: address %s cannot be used; choose another: %w", flag.name, flag.address, err)
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// folder returns the folder of the cluster, and what to do with it at the end.
func (f devFlags) folder() (dir string, remove func() error, err error) {
	if f.dataDir == "" {
		dir, err = os.MkdirTemp("", "aloft-dev-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(f.dataDir)
	return dir, func() error { return nil }, err
}

// devOutput is where a development cluster says what it does.
type devOutput struct {
	out, err io.Writer
	json     bool
}

// devAddresses is what is printed of a cluster that is ready.
type devAddresses struct {
	API     string `json:"api"`
	Router  string `json:"router"`
	Agents  int    `json:"agents"`
	DataDir string `json:"data_dir"`
}

// announce says that the cluster is ready, and where it is.
func (o devOutput) announce(at devAddresses) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(at)
	}
	_, err := fmt.Fprintf(o.out, "aloft dev is ready\n  api     %s\n  router  %s\n  agents  %d\n  data    %s\nCtrl-C stops all.\n",
		at.API, at.Router, at.Agents, at.DataDir)
	return err
}
