package sim_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// wanted returns the services and daemons of which something is wanted, in order.
func (o *observer) wanted() []*engine.Service {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*engine.Service
	for _, r := range o.records {
		if s, ok := r.(*engine.Service); ok && !s.Stopped && (s.Kind == spec.Service || s.Kind == spec.Daemon) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *engine.Service) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

// unsettled returns why the cluster has not come to what is wanted, nil if it has.
func (c *cluster) unsettled() error {
	o := c.obs
	for _, s := range o.wanted() {
		if err := o.settled(s); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.records {
		s, ok := r.(*engine.Service)
		if !ok || !s.Stopped {
			continue
		}
		if s.Removing {
			return fmt.Errorf("%s was not forgotten", s.Name)
		}
		for _, t := range o.tasks() {
			if t.Service == s.Name && !t.Status.State.Ended() {
				return fmt.Errorf("%s is stopped, and its task %s is %s", s.Name, t.ID, t.Status.State)
			}
		}
	}
	return nil
}

func (o *observer) settled(s *engine.Service) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	live, ready := 0, 0
	picture := ""
	for _, t := range o.tasks() {
		if t.Service != s.Name || t.Status.State.Ended() {
			continue
		}
		live++
		if on := o.agent(t.Claim.Agent); t.Status.State == task.Ready && on != nil && on.SilentSince.IsZero() {
			ready++
		}
		picture += fmt.Sprintf(" %s on %s %s (%s)", t.ID, t.Claim.Agent, t.Status.State, firstLine(t.Status.Reason))
	}
	if s.Deployment != "" || live != s.Instances || ready != s.Instances {
		return fmt.Errorf("%s: deployment %q, %d of %d instances are ready:%s", s.Name, s.Deployment, ready, s.Instances, picture)
	}
	return nil
}

// judgeEnd wants books, tasks, programs and tables to agree when all is well.
func (c *cluster) judgeEnd() {
	c.judgeBalance(5 * time.Second)
	c.obs.judgeLoad()
	c.obs.judgeWatcher(c.watcher)
	running := make(map[id.Agent][]id.Task)
	for _, m := range c.machines {
		running[id.Agent(m.name)] = tasksOf(m.hosts().running())
	}
	c.obs.mu.Lock()
	defer c.obs.mu.Unlock()
	o := c.obs
	booked, routed := make(map[id.Agent][]id.Task), make(map[id.Task]bool)
	for _, t := range o.tasks() {
		if t.Status.State >= task.Starting && t.Status.State.HoldsClaim() && t.Status.State != task.Backoff {
			booked[t.Claim.Agent] = append(booked[t.Claim.Agent], t.ID)
		}
		if r := o.revision(t.Service, t.Revision); t.Status.State == task.Ready && r != nil && len(r.Spec.Routes) > 0 {
			routed[t.ID] = true
		}
	}
	for agent, names := range running {
		slices.Sort(booked[agent])
		if !slices.Equal(names, booked[agent]) {
			o.breaks(lawAgree, "on %s run %v, and by the records %v", agent, names, booked[agent])
		}
	}
	for run := range o.routers {
		if len(run.tables) == 0 {
			o.breaks(lawAgree, "router %s has no table", run.name)
			continue
		}
		served := make(map[id.Task]bool)
		newest := slices.MaxFunc(run.tables, func(a, b route.Table) int { return a.Version.Compare(b.Version) })
		for _, s := range newest.Services {
			for _, e := range s.Endpoints {
				served[e.Task] = true
			}
		}
		for name := range routed {
			if !served[name] {
				o.breaks(lawAgree, "router %s does not serve %s", run.name, name)
			}
		}
		if len(served) != len(routed) {
			o.breaks(lawAgree, "router %s serves %v, and ready are %v", run.name, served, routed)
		}
	}
}

// judgeBalance compares the leader's books with the claims of the records. A
// difference must stay for a while: a commit may be under way.
func (c *cluster) judgeBalance(within time.Duration) {
	var why error
	for range 5 {
		if why = c.unbalanced(within); why == nil || !pause(c.living, 300*time.Millisecond) {
			return
		}
	}
	c.obs.fail(lawBalance, "%v", why)
}

func (c *cluster) unbalanced(within time.Duration) error {
	ctx, stop := context.WithTimeout(c.living, within)
	defer stop()
	free := make(map[id.Agent]int64)
	_, err := c.call(ctx, func(ctx context.Context, api api) (string, error) {
		answer, err := api.ListAgents(ctx, ask(&pb.ListAgentsRequest{}))
		if err != nil {
			return "", err
		}
		clear(free)
		for _, a := range answer.Msg.GetAgents() {
			for _, q := range a.GetFree() {
				if q.GetType() == string(resource.CPUs) {
					free[id.Agent(a.GetAgent().GetId())] = q.GetScalar()
				}
			}
		}
		return "", nil
	})
	if err != nil {
		return nil // nobody leads just now
	}
	c.obs.mu.Lock()
	defer c.obs.mu.Unlock()
	for agent, has := range free {
		held := int64(0)
		for _, t := range c.obs.tasks() {
			if !t.Status.State.HoldsClaim() || t.Claim.Agent != agent {
				continue
			}
			for _, s := range t.Claim.Slices {
				if s.Partition == "cpus" {
					held += s.Quantity.Amount()
				}
			}
		}
		if all := c.machine(string(agent)).cpus; has+held != all {
			return fmt.Errorf("agent %s has %d free and %d held, of %d", agent, has, held, all)
		}
	}
	return nil
}
