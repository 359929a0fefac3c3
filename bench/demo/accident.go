package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/load"
	"github.com/aloft-run/aloft/bench/process"
)

// victim is the agent that is killed and drained.
const victim = "agent-1"

// killInstance kills a ready instance and waits until all are ready again.
func (s *story) killInstance(ctx context.Context) error {
	before, err := s.cluster.Await(ctx, builds.Service, "all instances are ready", settled(later))
	if err != nil {
		return err
	}
	task := before.ReadyTasks()[0]
	program, err := programOf(task.ID)
	if err != nil {
		return err
	}
	kill, err := killAndWait(ctx, program.PID)
	if err != nil {
		return err
	}
	s.kills = append(s.kills, kill)
	_, err = s.cluster.Await(ctx, builds.Service, "another instance is ready in its place", func(status cluster.Status) bool {
		same := slices.ContainsFunc(status.ReadyTasks(), func(t cluster.Task) bool {
			return t.ID == task.ID && t.Status.Attempt == task.Status.Attempt
		})
		return !same && settled(later)(status)
	})
	return err
}

// programOf returns the process of a task.
func programOf(task string) (process.Process, error) {
	found, err := process.WithVariable("ALOFT_TASK_ID=" + task)
	if err != nil {
		return process.Process{}, err
	}
	for _, p := range found {
		if strings.Contains(p.Command, "hello") {
			return p, nil
		}
	}
	return process.Process{}, fmt.Errorf("task %s has no process", task)
}

// killAndWait kills a process and returns the time in which it died.
func killAndWait(ctx context.Context, pid int) (load.Window, error) {
	kill := load.Window{From: time.Now()}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return kill, fmt.Errorf("kill -9 of process %d: %w", pid, err)
	}
	for ctx.Err() == nil {
		// A zombie is not enough: its other threads may still hold its sockets.
		_, err := process.Find(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			kill.To = time.Now()
			return kill, nil
		}
		time.Sleep(100 * time.Microsecond) // it takes the kernel a moment
	}
	return kill, context.Cause(ctx)
}

// killAgent kills the agent's process, waits for the one that takes its place,
// and checks that every instance ran on.
func (s *story) killAgent(ctx context.Context) error {
	before, err := s.programs(ctx)
	if err != nil {
		return err
	}
	agent, err := s.cluster.Part("agent", "--id", victim)
	if err != nil {
		return err
	}
	if _, err := killAndWait(ctx, agent.PID); err != nil {
		return err
	}
	err = cluster.Until(ctx, "the agent is back", func() (bool, error) {
		again, err := s.cluster.Part("agent", "--id", victim)
		if errors.Is(err, cluster.ErrNotFound) {
			return false, nil
		}
		return again.PID != agent.PID, err
	})
	if err != nil {
		return err
	}
	if err := pause(ctx, 2*afterwards); err != nil { // it takes its tasks up again
		return err
	}
	after, err := s.programs(ctx)
	if err == nil && !slices.Equal(before, after) {
		err = fmt.Errorf("the instances did not run on: %v, then %v", before, after)
	}
	return err
}

// programs returns each ready instance with its process, sorted.
func (s *story) programs(ctx context.Context) ([]string, error) {
	status, err := s.cluster.Await(ctx, builds.Service, "all instances are ready", settled(later))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, task := range status.ReadyTasks() {
		program, err := programOf(task.ID)
		if err != nil {
			return nil, err
		}
		found = append(found, fmt.Sprintf("%s on %s as process %d", task.ID, task.Agent, program.PID))
	}
	slices.Sort(found)
	return found, nil
}

// drain empties the victim; the other agent takes over.
func (s *story) drain(ctx context.Context) error {
	if _, err := s.cluster.Do(ctx, "drain", victim); err != nil {
		return err
	}
	if err := s.agentIs(ctx, "drained"); err != nil {
		return err
	}
	_, err := s.cluster.Await(ctx, builds.Service, "all instances are ready elsewhere", func(status cluster.Status) bool {
		here := slices.ContainsFunc(status.ReadyTasks(), func(t cluster.Task) bool { return t.Agent == victim })
		return !here && settled(later)(status)
	})
	return err
}

func (s *story) undrain(ctx context.Context) error {
	if _, err := s.cluster.Do(ctx, "undrain", victim); err != nil {
		return err
	}
	return s.agentIs(ctx, "ready")
}

// agentIs waits until the victim is in that state.
func (s *story) agentIs(ctx context.Context, state string) error {
	return cluster.Until(ctx, "agent "+victim+" is "+state, func() (bool, error) {
		agents, err := s.cluster.Agents(ctx)
		return slices.ContainsFunc(agents, func(a cluster.Agent) bool {
			return a.Agent.ID == victim && a.State == state
		}), err
	})
}
