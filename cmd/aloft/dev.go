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
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/removal"
)

// devAgentsMax bounds the agents of a development cluster.
const devAgentsMax = 20

// devMastersMax bounds its masters: more would only wait for each other.
const devMastersMax = 5

// devFlags are how a development cluster is started.
type devFlags struct {
	dataDir string
	api     string
	http    string
	masters int
	agents  int
	level   string
}

func devCommand() *cobra.Command {
	var flags devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine: masters, agents and a router",
		Long: "Run a whole cluster on this machine: masters, agents and a router, each in a process of its own that is\n" +
			"started again when it dies. Ctrl-C stops all of it, tasks included, and a second Ctrl-C does so at once.",
		Example: "  aloft dev\n  aloft dev --masters 3 --agents 3 --data-dir ./cluster",
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
	f.StringVar(&flags.api, "api", "127.0.0.1:7117", "address of the master's API; of several masters, that of the first: the others are at 127.0.0.2 and so on")
	f.StringVar(&flags.http, "http", "127.0.0.1:8080", "address of the router")
	f.IntVar(&flags.masters, "masters", 1, "number of masters: 1, 3 or 5")
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
	if f.masters < 1 || f.masters > devMastersMax || f.masters%2 == 0 {
		return cli.UsageError("--masters: found %d; want 1, 3 or 5", f.masters)
	}
	if host, _, err := net.SplitHostPort(f.api); f.masters > 1 && (err != nil || host != "127.0.0.1") {
		return cli.UsageError("--api: found %q; several masters want 127.0.0.1:PORT, and are at 127.0.0.2:PORT and so on", f.api)
	}
	if err := checkLevel(f.level); err != nil {
		return err
	}
	for _, flag := range []struct{ name, address string }{{"--api", f.api}, {"--http", f.http}} {
		if err := checkListen(flag.name, flag.address); err != nil {
			return err
		}
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

// apis returns the addresses of the masters' APIs.
func (f devFlags) apis() []string {
	list := []string{f.api}
	for i := 1; i < f.masters; i++ {
		list = append(list, f.loopback("127.0.0.%d", i))
	}
	return list
}

// addr returns them as --addr takes them.
func (f devFlags) addr() string {
	list := f.apis()
	for i, api := range list {
		list[i] = "http://" + api
	}
	return strings.Join(list, ",")
}

// peers returns the masters as --cluster takes them.
func (f devFlags) peers() string {
	var list []string
	for i := range f.masters {
		list = append(list, masterName(i)+"=http://"+f.loopback("127.0.1.%d", i))
	}
	return strings.Join(list, ",")
}

// loopback returns the address of a master, counted from 0: all have the port of
// the first one's API, and loopback addresses of their own.
func (f devFlags) loopback(pattern string, i int) string {
	_, port, _ := net.SplitHostPort(f.api) // check has seen to it
	return net.JoinHostPort(fmt.Sprintf(pattern, i+1), port)
}

// folder returns the folder of the cluster, and what to do with it at the end.
func (f devFlags) folder() (dir string, remove func() error, err error) {
	if f.dataDir == "" {
		dir, err = os.MkdirTemp("", "aloft-dev-")
		return dir, func() error { return removal.All(dir) }, err
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
