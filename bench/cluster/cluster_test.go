package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/process"
)

// build builds the real binary.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "aloft")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", file, "./cmd/aloft")
	command.Dir = "../.."
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return file
}

// TestACluster runs alone: it looks at all descendants of the test.
func TestACluster(t *testing.T) {
	if err := process.Adopt(); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(t.Context(), cluster.Config{Aloft: build(t), Folder: t.TempDir(), Agents: 2})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = c.Stop()
		}
	}()

	if agents, err := c.Agents(t.Context()); err != nil || len(agents) != 2 || agents[0].Agent.ID != "agent-1" || agents[0].State != "ready" {
		t.Errorf("Agents = %+v, %v; want two that are ready", agents, err)
	}
	if _, err := c.Status(t.Context(), "nobody"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("Status of a service that is not there = %v, want ErrNotFound", err)
	}
	if err := c.Watch(t.Context(), "nobody", func(cluster.Status) {}); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("Watch of a service that is not there = %v, want ErrNotFound", err)
	}
	if _, err := c.Do(t.Context(), "scale", "nobody", "many"); !errors.Is(err, cluster.ErrFailed) {
		t.Errorf("Do of a wrong command line = %v, want ErrFailed", err)
	}
	watchASchedule(t, c)
	first, err := c.Part("agent", "--id", "agent-1")
	if err != nil {
		t.Error(err)
	}
	if second, err := c.Part("agent", "--id", "agent-2"); err != nil || second.PID == first.PID {
		t.Errorf("Part = %+v, %v; want another process than %d", second, err, first.PID)
	}
	if _, err := c.Part("router"); err != nil {
		t.Error(err)
	}
	if _, err := c.Part("agent", "--id", "agent-3"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("Part of an agent that is not there = %v, want ErrNotFound", err)
	}

	stopped = true
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	left, err := process.KillDescendants()
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %+v, %v", left, err)
	}
}

// watchASchedule deploys a cron, which runs nothing yet, and waits for its status.
func watchASchedule(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cron.yaml")
	text := "cron: later\nschedule: \"0 0 1 1 *\"\nrun: {command: [/bin/true]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), "deploy", file); err != nil {
		t.Fatal(err)
	}
	ctx, seen := context.WithTimeout(t.Context(), 30*time.Second)
	defer seen()

	err := c.Watch(ctx, "later", func(status cluster.Status) {
		if status.State != "" && status.Claims == 0 {
			seen()
		}
	})

	if !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v, want a status before the deadline", err)
	}
}

// awaitEnd waits until a process that was killed is no more, or its parent's to reap.
func awaitEnd(t *testing.T, killed process.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := cluster.Until(ctx, "it has ended", func() (bool, error) {
		now, err := process.Find(killed.PID)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return true, nil
		}
		return now.State == 'Z', err
	}); err != nil {
		t.Errorf("process %d lives, %s: %v", killed.PID, killed.Command, err)
	}
}

// TestASeparateCluster runs alone: it looks at all descendants of the test.
func TestASeparateCluster(t *testing.T) {
	if err := process.Adopt(); err != nil {
		t.Fatal(err)
	}
	s, err := cluster.StartSeparate(t.Context(), cluster.Config{Aloft: build(t), Folder: t.TempDir(), Agents: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = s.Stop(context.Background(), "")
		}
	}()
	awaitReady := func(wanted int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := cluster.Until(ctx, "the agents are as wanted", func() (bool, error) {
			ready, err := s.Ready(ctx)
			return ready == wanted, err
		}); err != nil {
			t.Error(err)
		}
	}
	if masters, err := s.ListMasters(t.Context()); err != nil || len(masters) != 1 || masters[0].ID != "master-1" || !masters[0].Leading {
		t.Errorf("ListMasters = %+v, %v; want one that leads", masters, err)
	}
	parts, err := s.Agents[0].Machine()
	if err != nil || len(parts) != 2 {
		t.Errorf("Machine = %+v, %v; want an agent and its supervisor", parts, err)
	}

	if err := s.Agents[0].KillMachine(); err != nil {
		t.Error(err)
	}
	awaitReady(0)
	for _, p := range parts {
		awaitEnd(t, p)
	}
	if err := s.Agents[0].Start(); err != nil {
		t.Error(err)
	}
	awaitReady(1)

	stopped = true
	if err := s.Stop(t.Context(), ""); err != nil {
		t.Error(err)
	}
	left, err := process.KillDescendants()
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %+v, %v", left, err)
	}
}
