package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// api speaks to the masters as a program does: JSON over HTTP.
type api struct {
	masters []string // host and port of each
	client  *http.Client
}

// errAnswer is the error for a call that a master refused.
var errAnswer = errors.New("the master answered with an error")

func newAPI(masters []string) *api {
	const idle = 16
	return &api{masters: masters, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: idle, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
	}}}
}

// callAt makes a call at one master.
func (a *api) callAt(ctx context.Context, master, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	url := "http://" + master + "/aloft.v1.ClusterService/" + method
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	post.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(post)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w: %.300s", method, errAnswer, strings.TrimSpace(string(text)))
	}
	return json.Unmarshal(text, answer)
}

// call makes a call at the masters in turn until one answers.
func (a *api) call(ctx context.Context, method string, request, answer any) error {
	const patience = 2 * time.Second // with one that says nothing
	var problems error
	for _, master := range a.masters {
		trying, cancel := context.WithTimeout(ctx, patience)
		err := a.callAt(trying, master, method, request, answer)
		cancel()
		if err == nil || errors.Is(err, errAnswer) && !strings.Contains(err.Error(), `"unavailable"`) {
			return err
		}
		problems = errors.Join(problems, err)
	}
	return problems
}

// page is the request for a list, whole.
type page struct {
	PageSize int `json:"pageSize"`
}

const pageMax = 1000

// quantity is an amount of one resource type; of those in use here only scalars
// are compared.
type quantity struct {
	Type   string `json:"type"`
	Scalar int64  `json:"scalar,string"`
	Ranges []struct {
		First int64 `json:"first,string"`
		Last  int64 `json:"last,string"`
	} `json:"ranges"`
}

// amount returns how much it is.
func (q quantity) amount() int64 {
	n := q.Scalar
	for _, r := range q.Ranges {
		n += r.Last - r.First + 1
	}
	return n
}

type task struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	Agent   string `json:"agent"`
	Slices  []struct {
		Partition string   `json:"partition"`
		Quantity  quantity `json:"quantity"`
	} `json:"slices"`
	Status struct {
		State      string    `json:"state"`
		Since      time.Time `json:"since"`
		Attempt    int       `json:"attempt"`
		ReadySince time.Time `json:"readySince"`
		Reason     string    `json:"reason"`
	} `json:"status"`
}

func (t task) ready() bool { return t.Status.State == "TASK_STATE_READY" }

// tasks returns all tasks that have not ended.
func (a *api) tasks(ctx context.Context) ([]task, error) {
	var answer struct {
		Tasks []task `json:"tasks"`
	}
	err := a.call(ctx, "ListTasks", page{pageMax}, &answer)
	return answer.Tasks, err
}

// lost returns the tasks that were given up because their agents were silent.
func (a *api) lost(ctx context.Context) ([]task, error) {
	var answer struct {
		Tasks []task `json:"tasks"`
	}
	err := a.call(ctx, "ListTasks", map[string]any{"pageSize": pageMax, "ended": true}, &answer)
	return slices.DeleteFunc(answer.Tasks, func(t task) bool { return t.Status.State != "TASK_STATE_LOST" }), err
}

type service struct {
	Service struct {
		Name       string `json:"name"`
		Deployment string `json:"deployment"`
	} `json:"service"`
	Ready  int    `json:"ready"`
	Claims int    `json:"claims"`
	Wanted int    `json:"wanted"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

func (a *api) services(ctx context.Context) ([]service, error) {
	var answer struct {
		Services []service `json:"services"`
	}
	err := a.call(ctx, "ListServices", page{pageMax}, &answer)
	return answer.Services, err
}

type machineState struct {
	Agent struct {
		ID string `json:"id"`
	} `json:"agent"`
	State string `json:"state"`
}

// agents returns the state of each agent.
func (a *api) agents(ctx context.Context) (map[string]string, error) {
	var answer struct {
		Agents []machineState `json:"agents"`
	}
	err := a.call(ctx, "ListAgents", page{pageMax}, &answer)
	states := make(map[string]string)
	for _, m := range answer.Agents {
		states[m.Agent.ID] = m.State
	}
	return states, err
}

// partition is one with what is free of it.
type partition struct {
	Partition struct {
		ID       string   `json:"id"`
		Agent    string   `json:"agent"`
		Quantity quantity `json:"quantity"`
	} `json:"partition"`
	Free quantity `json:"free"`
}

func (a *api) partitions(ctx context.Context) ([]partition, error) {
	var answer struct {
		Partitions []partition `json:"partitions"`
	}
	err := a.call(ctx, "ListPartitions", page{pageMax}, &answer)
	return answer.Partitions, err
}

// pool is one with what services hold of it.
type pool struct {
	Pool struct {
		ID string `json:"id"`
	} `json:"pool"`
	Claimed       []quantity `json:"claimed"`
	Overcommitted []string   `json:"overcommitted"`
}

func (a *api) pools(ctx context.Context) ([]pool, error) {
	var answer struct {
		Pools []pool `json:"pools"`
	}
	err := a.call(ctx, "ListPools", page{pageMax}, &answer)
	return answer.Pools, err
}

// leader returns the name of the master that leads, and how many there are.
func (a *api) leader(ctx context.Context) (name string, masters int, err error) {
	var answer struct {
		Masters []struct {
			ID      string `json:"id"`
			Leading bool   `json:"leading"`
		} `json:"masters"`
	}
	if err := a.call(ctx, "ListMasters", struct{}{}, &answer); err != nil {
		return "", 0, err
	}
	for _, m := range answer.Masters {
		if m.Leading {
			name = m.ID
		}
	}
	return name, len(answer.Masters), nil
}

type routerState struct {
	ID        string `json:"id"`
	Connected bool   `json:"connected"`
}

// isConnected reports whether a router is in a session with the leader, under its name or
// that of a process that took over from it.
func (a *api) isConnected(ctx context.Context, router string) bool {
	var answer struct {
		Routers []routerState `json:"routers"`
	}
	if a.call(ctx, "GetInfo", struct{}{}, &answer) != nil {
		return false
	}
	return slices.ContainsFunc(answer.Routers, func(r routerState) bool {
		return r.Connected && (r.ID == router || strings.HasPrefix(r.ID, router+"-p"))
	})
}

// breakerIsOpen reports whether replacements are held back.
func (a *api) breakerIsOpen(ctx context.Context) (bool, error) {
	var answer struct {
		Breaker struct {
			Open bool `json:"open"`
		} `json:"breaker"`
	}
	err := a.call(ctx, "GetBreaker", struct{}{}, &answer)
	return answer.Breaker.Open, err
}
