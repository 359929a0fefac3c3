package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Separate is a cluster whose parts are processes of their own that nobody starts
// again but the bench: to end them one by one. Make it with StartSeparate and end
// it with Stop.
type Separate struct {
	Cluster

	Masters, Agents []*Process
	Router          *Process
	addresses       []string // of the masters' APIs
}

// portsEach is how many ports each agent offers.
const portsEach = 40

// StartSeparate starts so many masters and agents and a router on free ports, and
// returns when all agents are there.
func StartSeparate(ctx context.Context, cfg Config, masters int) (*Separate, error) {
	aloft, err := filepath.Abs(cfg.Aloft)
	if err != nil {
		return nil, err
	}
	cfg.Aloft = aloft
	ports, err := freePorts(ctx, 2*masters+1)
	if err != nil {
		return nil, err
	}
	apis, peers, http := ports[:masters], ports[masters:2*masters], ports[2*masters]
	s := &Separate{
		Cluster:   Cluster{cfg: cfg, api: strings.Join(apis, ","), log: filepath.Join(cfg.Folder, "parts.log"), HTTP: "http://" + http},
		addresses: apis,
	}
	part := func(role, name string, arguments ...string) *Process {
		folder := filepath.Join(cfg.Folder, name)
		argv := append([]string{aloft, role, "--data-dir", folder, "--log-level", "warn"}, arguments...)
		return &Process{Name: name, Folder: folder, argv: argv, log: s.log}
	}
	all := make([]string, masters)
	for i := range masters {
		all[i] = fmt.Sprintf("master-%d=http://%s", i+1, peers[i])
	}
	for i := range masters {
		name := fmt.Sprintf("master-%d", i+1)
		s.Masters = append(s.Masters, part("master", name, "--name", name, "--listen", apis[i], "--cluster", strings.Join(all, ",")))
	}
	s.Router = part("router", "router-1", "--id", "router-1", "--http", http, "--master", s.api, "--shutdown", "3s")
	blocks, err := freeBlocks(ctx, cfg.Agents)
	if err != nil {
		return nil, err
	}
	for i := range cfg.Agents {
		name := fmt.Sprintf("agent-%d", i+1)
		s.Agents = append(s.Agents, part("agent", name, "--id", name, "--master", s.api,
			"--ports", fmt.Sprintf("%d-%d", blocks[i], blocks[i]+portsEach-1)))
	}
	began := time.Now()
	err = s.startAll(ctx)
	s.Took = time.Since(began)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, s.Log()), s.Stop(context.WithoutCancel(ctx), ""))
	}
	return s, nil
}

func (s *Separate) startAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, p := range s.parts() {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return Until(ctx, "all agents are ready", func() (bool, error) {
		ready, err := s.Ready(ctx)
		return ready == len(s.Agents), err
	})
}

// parts returns all parts, those first that others need.
func (s *Separate) parts() []*Process {
	list := append([]*Process{}, s.Masters...)
	return append(append(list, s.Router), s.Agents...)
}

// Addresses returns host and port of each master's API, in the order of Masters.
func (s *Separate) Addresses() []string { return s.addresses }

// Ready returns how many agents are ready; while nobody can tell, none is.
func (s *Separate) Ready(ctx context.Context) (int, error) {
	agents, err := s.Cluster.Agents(ctx)
	if errors.Is(err, ErrFailed) {
		return 0, nil
	}
	ready := 0
	for _, a := range agents {
		if a.State == "ready" {
			ready++
		}
	}
	return ready, err
}

// Stop ends the tasks of a service, if there is one, and then all parts and the
// supervisors of the agents.
func (s *Separate) Stop(ctx context.Context, service string) error {
	var groups []string
	var problems []error
	if service != "" {
		for _, p := range s.Agents {
			groups = append(groups, p.groups()...)
		}
		_, err := s.Do(ctx, "stop", service)
		if err == nil {
			_, err = s.Await(ctx, service, "its tasks have ended", func(status Status) bool { return status.Claims == 0 })
		}
		problems = append(problems, err)
	}
	for _, p := range append(append([]*Process{}, s.Agents...), append([]*Process{s.Router}, s.Masters...)...) {
		problems = append(problems, p.Stop())
	}
	for _, p := range s.Agents {
		problems = append(problems, p.KillMachine())
	}
	removeGroups(groups)
	return errors.Join(problems...)
}

// freeBlocks returns the first ports of n blocks, on which nothing listens. They
// are below those that the kernel gives to clients, and apart from those of
// development clusters.
func freeBlocks(ctx context.Context, n int) ([]int, error) {
	const first, last, tries = 10_000, 19_000, 100
	var blocks []int
	for range tries {
		if len(blocks) == n {
			return blocks, nil
		}
		block := first + rand.IntN((last-first)/portsEach)*portsEach //nolint:gosec // any will do
		if isFree(ctx, block) {
			blocks = append(blocks, block)
		}
	}
	return nil, fmt.Errorf("no %d blocks of %d free ports were found between %d and %d", n, portsEach, first, last)
}

func isFree(ctx context.Context, block int) bool {
	for port := block; port < block+portsEach; port++ {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		if listener.Close() != nil {
			return false
		}
	}
	return true
}
