package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/load"
)

// How often each fault is made, and what it is made in.
const (
	leaderRounds, machineRounds, awayRounds, agentRounds = 20, 5, 3, 20

	faultMasters, faultAgents, faultInstances = 3, 5, 10

	leaderRate, machineRate = 500, 2000 // requests per second meanwhile

	lostAfter  = 6 * time.Second // the default of a service
	awayFor    = time.Second     // of an agent that returns in time
	faultAfter = time.Second     // how long the load goes on after a fault is over
	atRest     = 2 * time.Minute // within which a cluster comes to rest
)

// storm is a cluster whose parts are ended one by one, under load.
type storm struct {
	*bench

	cluster *cluster.Separate
	spec    string
	shape   []string // the tasks before the fault, with their attempts
	refused int      // writes that failed while a leader went in good order
}

// measureFaults makes one kind of fault after the other.
func (b *bench) measureFaults(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp(b.folder, "faults-")
	if err != nil {
		return err
	}
	c, err := cluster.StartSeparate(ctx, cluster.Config{Aloft: b.opts.aloft, Folder: folder, Agents: faultAgents}, faultMasters)
	if err != nil {
		return err
	}
	s := &storm{bench: b, cluster: c}
	defer func() {
		if err != nil {
			b.say("the log ends with:\n%s", c.Log())
		}
		err = errors.Join(err, s.end(context.WithoutCancel(ctx)))
	}()
	if err := s.deploy(ctx); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{s.leaders, s.machines, s.agentsAway, s.agentsKilled} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rounds returns how often a fault is made that should be made so often.
func (s *storm) rounds(n int) int {
	if s.opts.quick {
		return 1
	}
	return n
}

func (s *storm) deploy(ctx context.Context) error {
	var err error
	if s.spec, err = s.releases["v1"].Spec(builds.Deploy{Instances: faultInstances}); err != nil {
		return err
	}
	if _, err = s.cluster.Do(ctx, "deploy", s.spec); err != nil {
		return err
	}
	return awaitAnswer(ctx, s.cluster.HTTP, builds.Host)
}

// end ends all of it.
func (s *storm) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, atRest)
	defer cancel()
	return s.cluster.Stop(ctx, builds.Service)
}

// rest waits until all agents and instances are ready, and the routers have had time
// to hear of it.
func (s *storm) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, atRest, fmt.Errorf("it was not at rest within %s", atRest))
	defer cancel()
	err := cluster.Until(ctx, "all agents are ready", func() (bool, error) {
		ready, err := s.cluster.Ready(ctx)
		return ready == faultAgents, err
	})
	if err != nil {
		return err
	}
	status, err := s.cluster.Await(ctx, builds.Service, "all instances are ready", whole)
	s.shape = shapeOf(status)
	return errors.Join(err, pause(ctx, faultAfter))
}

// whole reports whether as many instances are ready as are wanted, and no more have
// a claim.
func whole(status cluster.Status) bool {
	return status.Ready == faultInstances && status.Claims == faultInstances
}

// shapeOf returns the ready tasks with the number of their starts, sorted.
func shapeOf(status cluster.Status) []string {
	var shape []string
	for _, t := range status.ReadyTasks() {
		shape = append(shape, fmt.Sprintf("%s on %s, attempt %d", t.ID, t.Agent, t.Status.Attempt))
	}
	slices.Sort(shape)
	return shape
}

// restarted returns how many tasks are not as they were at rest.
func (s *storm) restarted(ctx context.Context) (int, error) {
	status, err := s.cluster.Status(ctx, builds.Service)
	if err != nil {
		return 0, err
	}
	now, gone := shapeOf(status), 0
	for _, before := range s.shape {
		if !slices.Contains(now, before) {
			gone++
		}
	}
	return gone, nil
}

// loss is what a kind of fault cost beside time.
type loss struct {
	gets, posts, requests int
	first                 string // of what failed
}

// underLoad has requests flow while the faults are made, and counts what was lost.
func (s *storm) underLoad(ctx context.Context, rate int, faults func(context.Context) error) (loss, error) {
	l, err := load.Start(load.Config{URL: s.cluster.HTTP, Host: builds.Host, Rate: rate}, "faults")
	if err != nil {
		return loss{}, err
	}
	made := faults(ctx)
	ended := l.Next("end")
	l.Stop()
	tally, err := l.Tally(ctx, ended)
	lost := loss{requests: tally.Requests}
	for _, f := range tally.Failures {
		if f.Method == http.MethodGet {
			lost.gets++
		} else {
			lost.posts++
		}
		if lost.first == "" || f.Method == http.MethodGet && !strings.Contains(lost.first, http.MethodGet) {
			lost.first = f.String()
		}
	}
	if lost.first != "" {
		s.say("lost: %s", lost.first)
	}
	return lost, errors.Join(made, err)
}

// leaders ends leaders in three ways, and counts what that cost.
func (s *storm) leaders(ctx context.Context) error {
	var killed, stopped, transferred []time.Duration
	restarted := 0
	if err := s.rest(ctx); err != nil {
		return err
	}
	lost, err := s.underLoad(ctx, leaderRate, func(ctx context.Context) error {
		for round := range s.rounds(leaderRounds) {
			s.say("leader, round %d of %d", round+1, leaderRounds)
			for _, way := range []struct {
				into *[]time.Duration
				make func(context.Context) (time.Duration, error)
			}{{&killed, s.killLeader}, {&stopped, s.stopLeader}, {&transferred, s.transferLeader}} {
				took, err := way.make(ctx)
				if err != nil {
					return err
				}
				*way.into = append(*way.into, took)
			}
		}
		var err error
		restarted, err = s.restarted(ctx)
		return err
	})
	if err != nil {
		return err
	}
	f := s.results.of(faultsSection)
	f.addTimes(span{"the leader is killed: until a write succeeds", "`kill -9`", killed, 2 * time.Second, "Nomad 4.05 s"})
	f.addTimes(span{"the leader is stopped: the longest gap between two writes", "`SIGTERM`", stopped, 200 * time.Millisecond, ""})
	f.addTimes(span{"the leader hands over: the longest gap between two writes", "`aloft masters transfer`", transferred, 200 * time.Millisecond, ""})
	f.addCount("writes that failed while a leader was stopped or handed over", "", s.refused, 2*len(stopped), "")
	f.addCount(fmt.Sprintf("requests failed meanwhile, of %d", lost.requests), "500 requests/s", lost.gets+lost.posts, 3*s.rounds(leaderRounds), "")
	f.addCount("tasks restarted meanwhile", "`aloft status`", restarted, 3*s.rounds(leaderRounds), "")
	return nil
}

// leader returns the master that leads, and the addresses of the others, once all take
// calls: of one that was killed the others believe for 2 s that it is there.
func (s *storm) leader(ctx context.Context) (leader *cluster.Process, others []string, err error) {
	err = cluster.Until(ctx, "all masters are there, and one leads", func() (bool, error) {
		masters, err := s.cluster.ListMasters(ctx)
		if errors.Is(err, cluster.ErrFailed) {
			return false, nil
		}
		leader, others = nil, nil
		for _, m := range masters {
			at := slices.IndexFunc(s.cluster.Masters, func(p *cluster.Process) bool { return p.Name == m.ID })
			switch {
			case at < 0:
			case m.Leading:
				leader = s.cluster.Masters[at]
			default:
				others = append(others, s.cluster.Addresses()[at])
			}
		}
		all := leader != nil && len(others) == faultMasters-1
		for _, address := range s.cluster.Addresses() {
			all = all && takesCalls(ctx, address)
		}
		return all, err
	})
	return leader, others, err
}

// takesCalls reports whether a master says that it is ready.
func takesCalls(ctx context.Context, master string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+master+"/readyz", nil)
	if err != nil {
		return false
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// killLeader kills the leader and returns how long it took until a write succeeded
// that was begun afterwards.
func (s *storm) killLeader(ctx context.Context) (time.Duration, error) {
	leader, others, err := s.leader(ctx)
	if err != nil {
		return 0, err
	}
	w := startWriter(ctx, others...)
	defer w.finish(time.Now())
	if err := pause(ctx, faultAfter); err != nil {
		return 0, err
	}
	moment := time.Now()
	if err := leader.Kill(); err != nil {
		return 0, err
	}
	took, err := w.after(ctx, moment)
	return took, errors.Join(err, leader.Start())
}

// stopLeader ends the leader with SIGTERM and returns the longest gap of the API.
func (s *storm) stopLeader(ctx context.Context) (time.Duration, error) {
	leader, others, err := s.leader(ctx)
	if err != nil {
		return 0, err
	}
	return s.gap(ctx, others, func() error { return errors.Join(leader.Stop(), leader.Start()) })
}

// transferLeader has another master lead and returns the longest gap of the API.
func (s *storm) transferLeader(ctx context.Context) (time.Duration, error) {
	_, others, err := s.leader(ctx)
	if err != nil {
		return 0, err
	}
	return s.gap(ctx, others, func() error {
		_, err := s.cluster.Do(ctx, "masters", "transfer")
		return err
	})
}

// gap returns the longest time without a write from a change until all is over.
func (s *storm) gap(ctx context.Context, masters []string, change func() error) (time.Duration, error) {
	w := startWriter(ctx, masters...)
	err := pause(ctx, faultAfter)
	moment := time.Now()
	err = errors.Join(err, change(), pause(ctx, faultAfter))
	gap, failed := w.finish(moment)
	for _, f := range failed {
		s.say("write failed: %s", f)
	}
	s.refused += len(failed)
	return gap, err
}

// machines kills whole machines: the agent, its supervisor and all its tasks.
func (s *storm) machines(ctx context.Context) error {
	var took []time.Duration
	most := 0
	lost, err := s.underLoad(ctx, machineRate, func(ctx context.Context) error {
		for round := range s.rounds(machineRounds) {
			s.say("machine, round %d of %d", round+1, machineRounds)
			if err := s.rest(ctx); err != nil {
				return err
			}
			victim := s.busiest()
			began := time.Now()
			if err := victim.KillMachine(); err != nil {
				return err
			}
			peak, err := s.recovered(ctx, victim.Name)
			took, most = append(took, time.Since(began)), max(most, peak)
			if err := errors.Join(err, pause(ctx, faultAfter), victim.Start()); err != nil {
				return err
			}
		}
		return s.rest(ctx)
	})
	if err != nil {
		return err
	}
	f := s.results.of(faultsSection)
	f.addTimes(span{"a machine of five is killed: until all instances are ready elsewhere", "`kill -9` of the agent, its supervisor and its tasks", took, lostAfter + 2*time.Second, "Nomad 17.8 s; Mesos 75 s by its defaults"})
	f.addCount(fmt.Sprintf("GETs failed meanwhile, of %d requests", lost.requests), "2,000 requests/s", lost.gets, len(took), "")
	f.addFact("POSTs that were in flight on the machine", "2,000 requests/s", fmt.Sprint(lost.posts), len(took))
	f.addCount(fmt.Sprintf("claims above %d + 1 at the worst moment", faultInstances), "`aloft status`", max(0, most-faultInstances-1), len(took), "Nomad: eight copies of four until the agent returned")
	return nil
}

// busiest returns the agent with the most instances at rest.
func (s *storm) busiest() *cluster.Process {
	count := func(p *cluster.Process) (n int) {
		for _, line := range s.shape {
			if strings.Contains(line, " on "+p.Name+",") {
				n++
			}
		}
		return n
	}
	return slices.MaxFunc(s.cluster.Agents, func(a, b *cluster.Process) int { return count(a) - count(b) })
}

// recovered waits until as many instances as are wanted are ready on other agents,
// and returns the most claims on those at any moment.
func (s *storm) recovered(ctx context.Context, victim string) (peak int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, atRest, fmt.Errorf("it did not recover within %s", atRest))
	defer cancel()
	_, err = s.cluster.Await(ctx, builds.Service, "all instances are ready elsewhere", func(status cluster.Status) bool {
		ready, claims := 0, 0
		for _, t := range status.Tasks {
			if t.Agent != victim && t.Agent != "" {
				claims++
			}
		}
		for _, t := range status.ReadyTasks() {
			if t.Agent != victim {
				ready++
			}
		}
		peak = max(peak, claims)
		return ready >= faultInstances
	})
	return peak, err
}

// agentsAway kills agents that return in time, and looks for what was replaced.
func (s *storm) agentsAway(ctx context.Context) error {
	return s.agents(ctx, awayRounds, awayFor, "an agent alone is killed and back after 1 s")
}

// agentsKilled kills agents that are started again at once.
func (s *storm) agentsKilled(ctx context.Context) error {
	return s.agents(ctx, agentRounds, 0, "an agent alone is killed and started again")
}

func (s *storm) agents(ctx context.Context, rounds int, away time.Duration, what string) error {
	restarted := 0
	rounds = s.rounds(rounds)
	if err := s.rest(ctx); err != nil {
		return err
	}
	lost, err := s.underLoad(ctx, machineRate, func(ctx context.Context) error {
		for round := range rounds {
			s.say("%s, round %d of %d", what, round+1, rounds)
			victim := s.cluster.Agents[round%faultAgents]
			if err := errors.Join(victim.Kill(), pause(ctx, away), victim.Start()); err != nil {
				return err
			}
			before := s.shape
			if err := s.rest(ctx); err != nil {
				return err
			}
			s.shape = before
		}
		var err error
		restarted, err = s.restarted(ctx)
		return err
	})
	if err != nil {
		return err
	}
	f := s.results.of(faultsSection)
	f.addCount(what+": tasks restarted or replaced", "`kill -9` of the agent", restarted, rounds, "")
	f.addCount(fmt.Sprintf("requests failed meanwhile, of %d", lost.requests), "2,000 requests/s", lost.gets+lost.posts, rounds, "Swarm, when dockerd restarts: 7.8 s of full outage")
	return nil
}
