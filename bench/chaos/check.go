package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// quietWithin is how long the cluster may take to come to rest after the last fault
// and the last command.
const quietWithin = 90 * time.Second

// inspector compares what the masters, the agents and the machines say.
type inspector struct {
	api   *api
	parts *parts
}

// rest waits until nothing is under way any more.
func (i inspector) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quietWithin)
	defer cancel()
	var last error
	err := until(ctx, "the cluster is at rest", func() (bool, error) {
		last = i.restless(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// restless tells what is under way.
func (i inspector) restless(ctx context.Context) error {
	services, err := i.api.services(ctx)
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range services {
		if s.Service.Deployment != "" || s.Ready != s.Wanted || s.Claims != s.Wanted {
			problems = append(problems, fmt.Errorf("service %s is %s: %d ready, %d claims, %d wanted, deployment %q: %s",
				s.Service.Name, s.State, s.Ready, s.Claims, s.Wanted, s.Service.Deployment, s.Reason))
		}
	}
	agents, err := i.api.agents(ctx)
	problems = append(problems, err)
	for _, a := range i.parts.agents {
		if agents[a.Name()] != "ready" {
			problems = append(problems, fmt.Errorf("agent %s is %s", a.Name(), agents[a.Name()]))
		}
	}
	tasks, err := i.api.tasks(ctx)
	problems = append(problems, err)
	for _, t := range tasks {
		if !t.ready() {
			problems = append(problems, fmt.Errorf("task %s on %s is %s: %s", t.ID, t.Agent, t.Status.State, t.Status.Reason))
		}
	}
	if open, err := i.api.breakerIsOpen(ctx); err != nil || open {
		problems = append(problems, fmt.Errorf("the breaker is open: %t, %v", open, err))
	}
	_, masters, err := i.api.leader(ctx)
	problems = append(problems, err)
	if err == nil && masters != len(i.parts.masters) {
		problems = append(problems, fmt.Errorf("%d masters are there, want %d", masters, len(i.parts.masters)))
	}
	return errors.Join(problems...)
}

// restsMax is how long the ports of tasks that have ended may be held back: a minute from
// when the last router was heard of that may send requests there. One that took over from
// another, and was killed, is not back under its name.
const restsMax = 75 * time.Second

// agree compares books, tasks, processes and tables of a cluster at rest, and waits for
// ports that rest.
func (i inspector) agree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restsMax)
	defer cancel()
	var last error
	err := until(ctx, "books, tasks, processes and tables agree", func() (bool, error) {
		last = i.compare(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (i inspector) compare(ctx context.Context) error {
	tasks, err := i.api.tasks(ctx)
	if err != nil {
		return err
	}
	return errors.Join(i.books(ctx, tasks), i.pools(ctx, tasks), i.processes(tasks), i.tables(tasks))
}

// books holds each partition to the slices of the tasks on it.
func (i inspector) books(ctx context.Context, tasks []task) error {
	partitions, err := i.api.partitions(ctx)
	if err != nil {
		return err
	}
	held := make(map[string]int64)
	for _, t := range tasks {
		for _, s := range t.Slices {
			held[t.Agent+" "+s.Partition] += s.Quantity.amount()
		}
	}
	var problems []error
	for _, p := range partitions {
		name := p.Partition.Agent + " " + p.Partition.ID
		if taken := p.Partition.Quantity.amount() - p.Free.amount(); taken != held[name] {
			problems = append(problems, fmt.Errorf("partition %s: %d are taken, and tasks hold %d", name, taken, held[name]))
		}
		delete(held, name)
	}
	for name, n := range held {
		problems = append(problems, fmt.Errorf("partition %s is not there, and tasks hold %d of it", name, n))
	}
	return errors.Join(problems...)
}

// pools holds the pool of all services to the slices of their tasks.
func (i inspector) pools(ctx context.Context, tasks []task) error {
	pools, err := i.api.pools(ctx)
	if err != nil {
		return err
	}
	held := make(map[string]int64)
	for _, t := range tasks {
		if t.Service == everywhere {
			continue // a daemon without a pool
		}
		for _, s := range t.Slices {
			if s.Partition != "ports" {
				held[s.Partition] += s.Quantity.amount()
			}
		}
	}
	var problems []error
	for _, p := range pools {
		if p.Pool.ID != poolOfAll {
			continue
		}
		for _, q := range p.Claimed {
			if q.Type != "ports" && q.amount() != held[q.Type] {
				problems = append(problems, fmt.Errorf("pool %s: %d %s are claimed, and tasks hold %d", p.Pool.ID, q.amount(), q.Type, held[q.Type]))
			}
		}
		if len(p.Overcommitted) > 0 {
			problems = append(problems, fmt.Errorf("pool %s has less than is claimed of %v", p.Pool.ID, p.Overcommitted))
		}
	}
	return errors.Join(problems...)
}

// processes holds what runs on each machine to the tasks that belong there.
func (i inspector) processes(tasks []task) error {
	var problems []error
	for _, agent := range i.parts.agents {
		found, err := agent.attempts()
		problems = append(problems, err)
		running := make(map[string]int)
		for _, a := range found {
			running[a.task]++
		}
		for _, t := range tasks {
			if t.Agent != agent.Name() {
				continue
			}
			if running[t.ID] != 1 {
				problems = append(problems, fmt.Errorf("task %s has %d processes on %s, want 1", t.ID, running[t.ID], t.Agent))
			}
			delete(running, t.ID)
		}
		for name, n := range running {
			problems = append(problems, fmt.Errorf("%s runs %d processes of task %s, which does not belong there", agent.Name(), n, name))
		}
	}
	return errors.Join(problems...)
}

// table is what a router keeps of its routing table.
type table struct {
	Table struct {
		Services []struct {
			Name      string `json:"name"`
			Endpoints []struct {
				Task string `json:"task"`
			} `json:"endpoints"`
		} `json:"services"`
	} `json:"table"`
}

// tables holds each router's table to the tasks that are ready.
func (i inspector) tables(tasks []task) error {
	var want []string
	for _, t := range tasks {
		if slices.Contains(routedServices(), t.Service) {
			want = append(want, t.ID)
		}
	}
	slices.Sort(want)
	var problems []error
	for _, r := range i.parts.routers {
		text, err := os.ReadFile(filepath.Join(i.parts.folder, r.Name(), "data", "table.json"))
		if err != nil {
			return err
		}
		var t table
		if err := json.Unmarshal(text, &t); err != nil {
			return fmt.Errorf("the table of router %s: %w", r.Name(), err)
		}
		var have []string
		for _, s := range t.Table.Services {
			for _, e := range s.Endpoints {
				have = append(have, e.Task)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			problems = append(problems, fmt.Errorf("router %s has the instances %v, want %v", r.Name(), have, want))
		}
	}
	return errors.Join(problems...)
}

// empty waits until nothing is claimed and no task's process is left.
func (i inspector) empty(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quietWithin)
	defer cancel()
	var last error
	err := until(ctx, "everything is given back", func() (bool, error) {
		tasks, err := i.api.tasks(ctx)
		last = err
		if len(tasks) > 0 {
			last = fmt.Errorf("%d tasks are left, the first is %s on %s, %s", len(tasks), tasks[0].ID, tasks[0].Agent, tasks[0].Status.State)
		}
		last = errors.Join(last, i.books(ctx, nil), i.processes(nil))
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// idle tells what runs on the agents' machines beside an agent and its supervisor.
func (i inspector) idle(ctx context.Context) error {
	var problems []error
	for _, a := range i.parts.agents {
		supervisor, err := a.supervisor(ctx)
		problems = append(problems, err)
		all, err := a.Processes()
		problems = append(problems, err)
		for _, p := range all {
			if p.PID != a.pid() && p.PID != supervisor.PID {
				problems = append(problems, fmt.Errorf("%s still runs process %d, %s", a.Name(), p.PID, p.Command))
			}
		}
	}
	return errors.Join(problems...)
}

// groupsOf returns the names of the control groups that agents keep for their tasks,
// each of which runs one at least. There are none where the machine has none.
func groupsOf(agents []*part) []string {
	var names []string
	for _, agent := range agents {
		found, _ := agent.attempts() // unknown: none
		for _, a := range found {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", a.pid)) // gone: none
			for line := range strings.Lines(string(text)) {
				if _, path, ok := strings.Cut(strings.TrimSpace(line), ":/aloft/"); ok {
					names = append(names, filepath.Dir(path))
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// leftGroups returns the control groups of tasks that are left in those of these
// names.
func leftGroups(names []string) []string {
	var found []string
	for _, name := range names {
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			matches, _ := filepath.Glob(filepath.Join(root, "aloft", name, "*")) // the pattern is good
			for _, m := range matches {
				if info, err := os.Stat(m); err == nil && info.IsDir() {
					found = append(found, m)
				}
			}
		}
	}
	return found
}

// removeGroups removes them, with those that they are in: of agents whose machines are
// off nobody else does.
func removeGroups(names []string) {
	for _, task := range leftGroups(names) {
		_ = os.Remove(task) // what cannot be removed has been told
	}
	for _, name := range names {
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			matches, _ := filepath.Glob(filepath.Join(root, "aloft", name)) // the pattern is good
			for _, m := range matches {
				_ = os.Remove(m)
			}
		}
	}
}
