package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Bounds of a development cluster.
const (
	devAgentsMax   = 20
	devPortsFirst  = 20000
	devPortsEach   = 500
	devReadyWithin = 20 * time.Second
	devStopWithin  = 15 * time.Second
)

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
			"started again when it dies. Ctrl-C stops all of it, tasks included.",
		Example: "  aloft dev\n  aloft dev --agents 3 --data-dir ./cluster",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd.Context(), flags, cmd.OutOrStdout(), cmd.ErrOrStderr())
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

// runDev runs the processes until ctx is done, and clears away what they left.
func runDev(ctx context.Context, flags devFlags, out, errOut io.Writer) error {
	if flags.agents < 1 || flags.agents > devAgentsMax {
		return fmt.Errorf("--agents: found %d; want 1 to %d", flags.agents, devAgentsMax)
	}
	for _, address := range []string{flags.api, flags.http} {
		if err := freeAddress(ctx, address); err != nil {
			return err
		}
	}
	dir := flags.dataDir
	if dir == "" {
		temporary, err := os.MkdirTemp("", "aloft-dev-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	parts, running := errgroup.WithContext(running)
	defer stopTasks(context.WithoutCancel(ctx), dir, flags.agents) // after the agents have ended
	defer func() { _ = parts.Wait() }()
	defer cancel()
	for _, c := range devChildren(flags, self, dir) {
		c.out = errOut
		parts.Go(func() error { return c.keep(running) })
	}
	if err := devReady(running, flags); err != nil {
		cancel()
		return untilDone(ctx, errors.Join(err, parts.Wait()))
	}
	fmt.Fprintf(out, "aloft dev is ready\n  api     http://%s\n  router  http://%s\n  agents  %d\n  data    %s\nCtrl-C stops all.\n",
		flags.api, flags.http, flags.agents, dir)
	return untilDone(ctx, parts.Wait())
}

// freeAddress refuses an address on which something else listens, before
// anything is started.
func freeAddress(ctx context.Context, address string) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("address %s cannot be used; choose another with --api or --http: %w", address, err)
	}
	return listener.Close()
}

// devChildren lists the processes of the cluster.
func devChildren(flags devFlags, self, dir string) []*child {
	api := "http://" + flags.api
	children := []*child{
		{name: "master", argv: []string{self, "master", "--id", "dev", "--data-dir", filepath.Join(dir, "master"),
			"--listen", flags.api, "--log-level", flags.level}},
		{name: "router", argv: []string{self, "router", "--id", "dev", "--data-dir", filepath.Join(dir, "router"),
			"--http", flags.http, "--master", api, "--log-level", flags.level}},
	}
	for i := range flags.agents {
		name := "agent-" + strconv.Itoa(i+1)
		first := devPortsFirst + i*devPortsEach
		children = append(children, &child{name: name, argv: []string{self, "agent", "--id", name,
			"--data-dir", filepath.Join(dir, name), "--master", api,
			"--ports", fmt.Sprintf("%d-%d", first, first+devPortsEach-1), "--log-level", flags.level}})
	}
	return children
}

// devReady waits until the master leads and every agent and the router is in a
// session.
func devReady(ctx context.Context, flags devFlags) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devReadyWithin, errors.New("the cluster did not become ready in time"))
	defer cancel()
	cluster, err := client.New("http://" + flags.api)
	if err != nil {
		return err
	}
	defer cluster.Close()
	for {
		if devComplete(ctx, cluster, flags.agents) {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func devComplete(ctx context.Context, cluster *client.Client, agents int) bool {
	info, err := cluster.Cluster().GetInfo(ctx, connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil || len(info.Msg.GetRouters()) == 0 {
		return false
	}
	list, err := cluster.Cluster().ListAgents(ctx, connect.NewRequest(&pb.ListAgentsRequest{}))
	if err != nil {
		return false
	}
	ready := 0
	for _, a := range list.Msg.GetAgents() {
		if a.GetState() != "silent" {
			ready++
		}
	}
	return ready >= agents
}

// stopTasks ends what the agents left running, and their supervisors.
func stopTasks(ctx context.Context, dir string, agents int) {
	ctx, cancel := context.WithTimeout(ctx, devStopWithin)
	defer cancel()
	for i := range agents {
		tasks, err := supervisor.Dial(ctx, filepath.Join(dir, "agent-"+strconv.Itoa(i+1), "supervisor"))
		if err != nil {
			continue // it never started, or has ended
		}
		stopSupervised(ctx, tasks)
		_ = tasks.Close()
	}
}

func stopSupervised(ctx context.Context, tasks *supervisor.Client) {
	known, err := tasks.List(ctx)
	if err != nil {
		return
	}
	for _, t := range known {
		if t.Exit == nil {
			_ = tasks.KillAll(ctx, t.Key)
		}
	}
	_ = tasks.Shutdown(ctx)
}
