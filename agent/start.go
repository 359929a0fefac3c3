package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// errPortTaken says that another program of the machine holds a port that the
// books call free. The task fails for good: its successor gets other ports.
var errPortTaken = errors.New("port is taken by another program on this machine")

// begin starts the next attempt of a task. What takes time happens apart, and
// launched hears of it.
func (a *Agent) begin(ctx context.Context, in *instance) {
	if !a.move(ctx, in, task.Accept{At: time.Now(), Attempt: in.status.Attempt + 1}) {
		return
	}
	key := in.key()
	preparing, cancel := context.WithCancel(ctx)
	in.cancelLaunch = cancel
	launch, err := a.launch(in)
	artifacts := in.rev.spec.Run.Fetch
	a.workers.Go(func() {
		defer cancel()
		if err == nil {
			err = a.prepare(preparing, launch, artifacts, in.ports())
		}
		if err == nil {
			err = a.runtime.Start(preparing, launch)
		}
		a.do(ctx, func() { a.launched(ctx, key, err) })
	})
}

// launched goes on where begin left off.
func (a *Agent) launched(ctx context.Context, key runtime.Key, err error) {
	in, ok := a.tasks[key.Task]
	if !ok || in.status.Attempt != key.Attempt {
		return
	}
	stopping := in.status.State == task.Stopping
	switch {
	case err == nil && stopping:
		a.stopProgram(ctx, in, in.grace)
	case err == nil && a.move(ctx, in, task.Start{At: time.Now()}):
		a.watchHealth(ctx, in)
	case err != nil && stopping:
		a.end(ctx, in, nil)
	case err != nil && in.status.State == task.Starting:
		a.cfg.Log.InfoContext(ctx, "task not started", slog.String("task", string(key.Task)), slog.Any("error", err))
		a.refuse(ctx, in, err)
	}
}

// refuse ends an attempt whose program did not start.
func (a *Agent) refuse(ctx context.Context, in *instance, err error) {
	again := !in.runsToCompletion() && !errors.Is(err, errPortTaken)
	a.move(ctx, in, task.End{
		At: time.Now(), Exit: &task.Exit{Error: err.Error(), At: time.Now()}, Again: again,
	})
}

// launch says how to start the newest attempt of a task.
func (a *Agent) launch(in *instance) (runtime.Launch, error) {
	s := in.rev.spec
	sandbox := a.sandbox(in.task)
	env, lookup := a.environment(in, sandbox)
	launch := runtime.Launch{
		Key: in.key(), Env: env, User: s.Run.User, Dir: s.Run.Dir, Sandbox: sandbox, Shell: s.Run.Shell,
		Log: runtime.Log{Dir: a.logs(in.task, in.status.Attempt), SizeMax: s.Logs.SizeBytes, FilesMax: s.Logs.Files},
	}
	var problems []error
	for _, word := range s.Run.Command {
		expanded, err := spec.Expand(word, lookup)
		problems = append(problems, err)
		launch.Command = append(launch.Command, expanded)
	}
	for name, value := range s.Run.Env {
		expanded, err := spec.Expand(value, lookup)
		problems = append(problems, err)
		env[name] = expanded
	}
	held := vectorOf(in.order)
	if cpus, ok := held.Get(resource.CPUs); ok {
		launch.CPUMillis = cpus.Amount()
	}
	if mem, ok := held.Get(resource.Mem); ok {
		launch.MemoryBytes = mem.Amount()
	}
	return launch, errors.Join(problems...)
}

// environment returns what every task is given, and a lookup that knows the
// spec's own variables as well.
func (a *Agent) environment(in *instance, sandbox string) (map[string]string, func(string) (string, bool)) {
	env := map[string]string{
		"PATH":           os.Getenv("PATH"),
		"HOME":           sandbox,
		"TMPDIR":         filepath.Join(sandbox, "tmp"),
		"ALOFT_AGENT":    string(a.cfg.ID),
		"ALOFT_HOST":     a.cfg.Address,
		"ALOFT_SERVICE":  in.order.GetService(),
		"ALOFT_REVISION": strconv.FormatInt(in.order.GetRevision(), 10),
		"ALOFT_TASK_ID":  in.order.GetTask(),
		"ALOFT_ATTEMPT":  strconv.Itoa(in.status.Attempt),
		"ALOFT_SANDBOX":  sandbox,
	}
	if in.runsToCompletion() {
		env["ALOFT_COPY"] = strconv.Itoa(int(in.order.GetCopy()))
		env["ALOFT_RUN"] = strconv.FormatInt(in.order.GetRun(), 10)
	}
	for _, q := range in.order.GetResources() {
		if t := resource.Type(q.GetType()); t != resource.Ports {
			env["ALOFT_"+variable(q.GetType())] = strconv.FormatInt(q.GetScalar(), 10)
		}
	}
	for name, number := range in.order.GetPorts() {
		env["PORT_"+variable(name)] = strconv.Itoa(int(number))
	}
	given := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	return env, func(name string) (string, bool) {
		if value, ok := given(name); ok {
			return value, true
		}
		value, ok := in.rev.spec.Run.Env[name]
		return value, ok
	}
}

// variable returns name as part of an environment variable's name.
func variable(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// ports returns the port numbers of a task, in order.
func (in *instance) ports() []int {
	var numbers []int
	for _, number := range in.order.GetPorts() {
		numbers = append(numbers, int(number))
	}
	slices.Sort(numbers)
	return numbers
}

// prepare makes the sandbox and fetches what belongs into it. The first attempt
// that succeeds leaves a mark, so that a restart does not wait for the network.
func (a *Agent) prepare(ctx context.Context, launch runtime.Launch, artifacts []spec.Artifact, ports []int) error {
	if err := checkPorts(ctx, a.cfg.Address, ports); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(launch.Sandbox, "tmp"), 0o755); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	if err := a.trimAttempts(launch.Key.Task); err != nil {
		return fmt.Errorf("clear away old logs: %w", err)
	}
	fetched := filepath.Join(filepath.Dir(launch.Sandbox), "fetched")
	if _, err := os.Stat(fetched); err == nil || len(artifacts) == 0 {
		return nil
	}
	for _, artifact := range artifacts {
		if err := a.fetcher.Fetch(ctx, artifact, launch.Sandbox); err != nil {
			return err
		}
	}
	if err := os.WriteFile(fetched, nil, 0o600); err != nil {
		return fmt.Errorf("mark the sandbox as complete: %w", err)
	}
	return nil
}

// checkPorts refuses ports on which another program of this machine listens.
func checkPorts(ctx context.Context, address string, ports []int) error {
	var listening net.ListenConfig
	for _, port := range ports {
		listener, err := listening.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			return fmt.Errorf("port %d: %w", port, errPortTaken)
		}
		if err := listener.Close(); err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
	return nil
}

// stopProgram asks the runtime to end the newest attempt. Its exit comes as an
// event.
func (a *Agent) stopProgram(ctx context.Context, in *instance, grace time.Duration) {
	key := in.key()
	a.workers.Go(func() {
		if err := a.runtime.Stop(ctx, key, grace); err != nil && ctx.Err() == nil {
			a.cfg.Log.ErrorContext(ctx, "task not stopped", slog.String("task", string(key.Task)), slog.Any("error", err))
		}
	})
}

// forgetAttempt drops the runtime's record of an attempt that ended.
func (a *Agent) forgetAttempt(ctx context.Context, key runtime.Key) {
	a.workers.Go(func() {
		if err := a.runtime.Forget(ctx, key); err != nil && ctx.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "exit not forgotten", slog.String("task", string(key.Task)), slog.Any("error", err))
		}
	})
}
