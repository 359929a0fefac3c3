package agent

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// temporaryName is the folder for temporary files in a sandbox.
const temporaryName = "tmp"

// launchOf says how to start the newest attempt of a task.
func (a *Agent) launchOf(in *instance) (runtime.Launch, error) {
	s := in.rev.spec
	env, err := a.environment(in)
	if err != nil {
		return runtime.Launch{}, err
	}
	command, err := expand(s.Run.Command, env)
	if err != nil {
		return runtime.Launch{}, err
	}
	launch := runtime.Launch{
		Key: in.key(), Command: command, Shell: s.Run.Shell, Env: env, User: s.Run.User,
		Sandbox: a.folder.sandbox(in.task), Dir: s.Run.Dir,
		Log: runtime.Log{
			Dir: a.folder.attemptLogs(in.task, in.status.Attempt), SizeMax: s.Logs.SizeBytes, FilesMax: s.Logs.Files,
		},
	}
	if cpus, ok := in.held.Get(resource.CPUs); ok {
		launch.CPUMillis = cpus.Amount()
	}
	if mem, ok := in.held.Get(resource.Mem); ok {
		launch.MemoryBytes = mem.Amount()
	}
	return launch, nil
}

// environment returns all variables of a task: what every task is given, its
// ports, and what its spec adds.
func (a *Agent) environment(in *instance) (map[string]string, error) {
	env := a.givenTo(in)
	added, err := in.rev.spec.Run.Environ(func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		return nil, err
	}
	maps.Copy(env, added)
	return env, nil
}

// givenTo returns the variables that a task has whatever its spec says.
func (a *Agent) givenTo(in *instance) map[string]string {
	sandbox := a.folder.sandbox(in.task)
	env := map[string]string{
		"HOME":           sandbox,
		"TMPDIR":         filepath.Join(sandbox, temporaryName),
		"ALOFT_AGENT":    string(a.cfg.ID),
		"ALOFT_HOST":     a.cfg.Address,
		"ALOFT_SERVICE":  in.order.GetService(),
		"ALOFT_REVISION": strconv.FormatInt(in.order.GetRevision(), 10),
		"ALOFT_TASK_ID":  string(in.task),
		"ALOFT_ATTEMPT":  strconv.Itoa(in.status.Attempt),
		"ALOFT_SANDBOX":  sandbox,
	}
	if path := os.Getenv("PATH"); path != "" {
		env["PATH"] = path
	}
	if in.runsToCompletion() {
		env["ALOFT_COPY"] = strconv.Itoa(int(in.order.GetCopy()))
		env["ALOFT_RUN"] = strconv.FormatInt(in.order.GetRun(), 10)
	}
	for t, q := range in.held.All() {
		if t != resource.Ports { // each has a variable of its own
			env["ALOFT_"+strings.ToUpper(strings.ReplaceAll(string(t), "-", "_"))] = quantityText(t, q)
		}
	}
	for name, number := range in.order.GetPorts() {
		env[spec.Port{Name: name}.Variable()] = strconv.Itoa(int(number))
	}
	return env
}

// quantityText returns a quantity as programs like to read it: plain bytes, and
// else as a spec writes it, as in 0.25.
func quantityText(t resource.Type, q resource.Quantity) string {
	switch {
	case t == resource.Mem || t == resource.Disk:
		return strconv.FormatInt(q.Amount(), 10)
	case q.Kind() == resource.KindSet:
		return strings.Join(q.Members(), ",")
	default:
		return resource.Format(t, q)
	}
}

// expand replaces the references to variables in each word of a command.
func expand(command []string, env map[string]string) ([]string, error) {
	var words []string
	var problems []error
	for _, word := range command {
		expanded, err := spec.Expand(word, func(name string) (string, bool) {
			value, ok := env[name]
			return value, ok
		})
		words, problems = append(words, expanded), append(problems, err)
	}
	return words, errors.Join(problems...)
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
