package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// TaskReady is the state of a task that serves.
const TaskReady = "TASK_STATE_READY"

// Status is what `aloft status SERVICE` tells.
type Status struct {
	State      string     `json:"state"`
	Reason     string     `json:"reason"`
	Ready      int        `json:"ready"`
	Claims     int        `json:"claims"`
	Wanted     int        `json:"wanted"`
	Tasks      []Task     `json:"tasks"`
	Deployment Deployment `json:"deployment"`
}

// Task is one task of a service.
type Task struct {
	ID     string `json:"id"`
	Agent  string `json:"agent"`
	Status struct {
		State   string `json:"state"`
		Attempt int    `json:"attempt"`
	} `json:"status"`
}

// Deployment is the newest deployment of a service.
type Deployment struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	Peak   int    `json:"peak"` // claims of the service at the worst moment
}

// Agent is one agent.
type Agent struct {
	Agent struct {
		ID string `json:"id"`
	} `json:"agent"`
	State string `json:"state"`
	Tasks int    `json:"tasks"`
}

// Master is one master.
type Master struct {
	ID      string `json:"id"`
	Leading bool   `json:"leading"`
	Role    string `json:"role"` // absent, when it does not answer
}

// ReadyTasks returns the tasks that are ready.
func (s Status) ReadyTasks() []Task {
	var ready []Task
	for _, t := range s.Tasks {
		if t.Status.State == TaskReady {
			ready = append(ready, t)
		}
	}
	return ready
}

// Status asks how a service is.
func (c *Cluster) Status(ctx context.Context, service string) (Status, error) {
	var status Status
	err := c.read(ctx, &status, "status", service)
	return status, err
}

// Agents asks for all agents.
func (c *Cluster) Agents(ctx context.Context) ([]Agent, error) {
	var list struct {
		Agents []Agent `json:"agents"`
	}
	err := c.read(ctx, &list, "agents")
	return list.Agents, err
}

// ListMasters asks for all masters that are there.
func (c *Cluster) ListMasters(ctx context.Context) ([]Master, error) {
	var list struct {
		Masters []Master `json:"masters"`
	}
	err := c.read(ctx, &list, "masters")
	return slices.DeleteFunc(list.Masters, func(m Master) bool { return m.Role == "absent" }), err
}

// Await asks for the status of a service again and again until it is as wanted,
// and returns it.
func (c *Cluster) Await(ctx context.Context, service, what string, wanted func(Status) bool) (Status, error) {
	var last Status
	err := Until(ctx, what, func() (bool, error) {
		status, err := c.Status(ctx, service)
		if err != nil {
			return false, err
		}
		last = status
		return wanted(status), nil
	})
	if err != nil {
		return last, fmt.Errorf("%w: the last status was %+v", err, last)
	}
	return last, nil
}

// Until asks every 50 ms until the answer is true.
func Until(ctx context.Context, what string, ask func() (bool, error)) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		done, err := ask()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		case done || err != nil:
			return err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		}
	}
}
