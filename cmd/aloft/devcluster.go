package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Bounds of how long a development cluster starts and stops.
const (
	devReadyWithin = 20 * time.Second
	devStopWithin  = 5 * time.Second
	devShutdown    = 3 * time.Second // of the router, which then has time for its goodbye
)

// devCluster is the processes of a development cluster.
type devCluster struct {
	flags   devFlags
	dir     string
	masters []*child
	edge    []*child // the router and the agents, which need a master to speak to
}

// newDevCluster lists the processes. They stop at once when hurry is closed.
func newDevCluster(flags devFlags, self, dir string, blocks portBlocks, hurry <-chan struct{}) *devCluster {
	role := func(kind, folder string, arguments ...string) *child {
		argv := []string{self, kind, "--data-dir", filepath.Join(dir, folder), "--log-level", flags.level}
		return &child{name: folder, argv: append(argv, arguments...), hurry: hurry}
	}
	d := &devCluster{flags: flags, dir: dir}
	apis := flags.apis()
	for i, api := range apis {
		if len(apis) == 1 {
			d.masters = append(d.masters, role("master", "master", "--name", "dev", "--listen", api))
			break
		}
		name := masterName(i)
		d.masters = append(d.masters, role("master", name, "--name", name, "--listen", api, "--cluster", flags.peers()))
	}
	d.edge = append(d.edge, role("router", "router", "--id", "dev", "--http", flags.http, "--master", strings.Join(apis, ","), "--shutdown", devShutdown.String()))
	for i := range flags.agents {
		name := agentName(i)
		d.edge = append(d.edge, role("agent", name, "--id", name, "--master", strings.Join(apis, ","), "--ports", blocks.text(i)))
	}
	return d
}

// masterName returns the name of a master among several, counted from 0.
func masterName(i int) string { return "master-" + strconv.Itoa(i+1) }

// agentName returns the name of an agent, counted from 0.
func agentName(i int) string { return "agent-" + strconv.Itoa(i+1) }

// run keeps the processes up until ctx is done or one of them cannot be kept up.
// The master is there before those who need it, and goes after them.
func (d *devCluster) run(ctx context.Context, output devOutput) error {
	going, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	masterGoing, stopMaster := context.WithCancel(context.WithoutCancel(ctx))
	var master, edge sync.WaitGroup
	defer master.Wait()
	defer stopMaster()
	keep := func(ctx context.Context, started *sync.WaitGroup, c *child) {
		c.out = output.err
		started.Go(func() {
			if err := c.keep(ctx); err != nil {
				fail(err)
			}
		})
	}
	for _, c := range d.masters {
		keep(masterGoing, &master, c)
	}
	err := d.await(going, d.leads)
	if err == nil {
		defer d.stopTasks(context.WithoutCancel(ctx)) // not earlier: the folder may have been another cluster's
		defer edge.Wait()
		for _, c := range d.edge {
			keep(going, &edge, c)
		}
		err = d.await(going, d.complete)
	}
	if err == nil {
		err = output.announce(devAddresses{API: d.flags.addr(), Router: "http://" + d.flags.http, Agents: d.flags.agents, DataDir: d.dir})
	}
	if err != nil {
		fail(err)
	}
	<-going.Done()
	return untilDone(ctx, context.Cause(going))
}

// await asks a master again and again until it says yes.
func (d *devCluster) await(ctx context.Context, yes func(context.Context, *client.Client) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devReadyWithin, errors.New("the cluster did not become ready in time"))
	defer cancel()
	masters, err := client.New(d.flags.apis()...)
	if err != nil {
		return err
	}
	defer masters.Close()
	for !yes(ctx, masters) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// leads reports whether the master leads.
func (*devCluster) leads(ctx context.Context, masters *client.Client) bool {
	_, err := masters.Cluster().GetInfo(ctx, connect.NewRequest(&pb.GetInfoRequest{}))
	return err == nil
}

// complete reports whether the router and every agent is in a session.
func (d *devCluster) complete(ctx context.Context, masters *client.Client) bool {
	info, err := masters.Cluster().GetInfo(ctx, connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		return false
	}
	list, err := masters.Cluster().ListAgents(ctx, connect.NewRequest(&pb.ListAgentsRequest{}))
	if err != nil {
		return false
	}
	up := 0
	for _, r := range info.Msg.GetRouters() {
		if r.GetConnected() {
			up++
		}
	}
	for _, a := range list.Msg.GetAgents() {
		if a.GetAgent().GetSilentSince() == nil {
			up++
		}
	}
	return up >= len(d.edge)
}

// stopTasks ends what the agents left running, and their supervisors.
func (d *devCluster) stopTasks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, devStopWithin)
	defer cancel()
	var stopping sync.WaitGroup
	defer stopping.Wait()
	for i := range d.flags.agents {
		stopping.Go(func() {
			tasks, err := supervisor.Dial(ctx, filepath.Join(d.dir, agentName(i), "supervisor"))
			if err != nil {
				return // it never started, or has ended
			}
			stopSupervised(ctx, tasks)
			_ = tasks.Close()
		})
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
