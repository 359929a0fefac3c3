package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Exit codes of the aloft command.
const (
	codeDone     = 0
	codeFailed   = 1
	codeNoMaster = 3
	codeUnknown  = 4
	codeRefused  = 5
)

const (
	instancesMin, instancesMax = 3, 5
	// commandWithin is how long a command may take before it counts as stuck.
	commandWithin = 2 * time.Minute
)

// tally counts what operators did, by what it was and how it ended.
type tally struct {
	mu     sync.Mutex
	done   map[string]int
	failed []string       // good deployments that failed, and why
	jobs   map[string]int // copies of those that were said to have succeeded
	wrong  []string
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == nil {
		t.done = make(map[string]int)
	}
	t.done[what]++
}

// fails notes why what may fail did.
func (t *tally) fails(said string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, time.Now().Format(clock)+" "+said)
}

// broken notes what must not be.
func (t *tally) broken(format string, arguments ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong = append(t.wrong, time.Now().Format(clock)+" "+fmt.Sprintf(format, arguments...))
}

// operator changes one service all the time, as people do: by commands, through
// whichever master answers.
type operator struct {
	aloft   string
	self    string // path of this program, which the services run
	folder  string // for spec files
	service string
	routed  bool
	masters []string
	random  *rand.Rand
	tally   *tally
	version int
}

// spec writes a spec file of the next version. A bad one never comes into service.
func (o *operator) spec(instances int, bad string) (string, error) {
	o.version++
	command := fmt.Sprintf("%q, instance, --listen, \"${ALOFT_HOST}:${PORT_HTTP}\", --journals, %q", o.self, filepath.Join(o.folder, "journals"))
	if bad != "" {
		command += ", " + bad
	}
	deadline := "2m"
	if bad != "" {
		deadline = "6s"
	}
	text := fmt.Sprintf(`service: %s
instances: %d
resources: {cpus: 0.05, mem: 64MiB}
pool: all
run:
  command: [%s]
  env: {VERSION: "%d"}
ports: [http]
ready: {http: /ready, every: 1s, timeout: 2s, failures: 3}
deploy: {surge: 1, unavailable: 0, settle: 500ms, deadline: %s, drain: %s, grace: 5s, failures: 4}
placement: {spread: [host]}
`, o.service, instances, command, o.version, deadline, drainOf)
	if o.routed {
		text += fmt.Sprintf("route: {host: %s, port: http}\n", hostOf(o.service))
	}
	file := filepath.Join(o.folder, o.service+".yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// hostOf returns the host of a service's route.
func hostOf(service string) string { return service + ".chaos" }

// command runs a command until a master has answered it, and returns its exit code
// and what it said.
func (o *operator) command(ctx context.Context, arguments ...string) (code int, said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	for {
		command := exec.CommandContext(ctx, o.aloft, append(arguments, "--json")...)
		command.Env = append(os.Environ(), "ALOFT_ADDR="+strings.Join(o.masters, ","))
		var stderr bytes.Buffer
		command.Stderr = &stderr
		err := command.Run()
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			return 0, "", err
		}
		if ctx.Err() != nil {
			return 0, "", context.Cause(ctx)
		}
		code, said = command.ProcessState.ExitCode(), strings.TrimSpace(stderr.String())
		if code != codeNoMaster {
			return code, said, nil
		}
		o.tally.add("commands that no master answered, given again")
		if !pause(ctx, 200*time.Millisecond) {
			return 0, "", context.Cause(ctx)
		}
	}
}

// do runs a command, counts how it ended, and returns its code; a code that none has
// where it has none.
func (o *operator) do(ctx context.Context, what string, may []int, arguments ...string) int {
	const none = -1
	code, said, err := o.command(ctx, arguments...)
	switch {
	case ctx.Err() != nil:
		return none // the end of all
	case errors.Is(err, context.DeadlineExceeded):
		o.tally.broken("aloft %s has not ended within %s", strings.Join(arguments, " "), commandWithin)
		return none
	case err != nil:
		o.tally.broken("aloft %s: %v", strings.Join(arguments, " "), err)
		return none
	}
	words := map[int]string{codeDone: "done", codeFailed: "failed", codeUnknown: "unknown", codeRefused: "refused"}[code]
	for _, allowed := range may {
		if code == allowed {
			o.tally.add(what + ": " + words)
			if code == codeFailed && allowed != may[0] {
				o.tally.fails(said)
			}
			return code
		}
	}
	o.tally.broken("aloft %s (%s) ended with code %d: %s", strings.Join(arguments, " "), what, code, said)
	return none
}

// begin deploys the first version.
func (o *operator) begin(ctx context.Context) error {
	file, err := o.spec(instancesMin, "")
	if err != nil {
		return err
	}
	if code, said, err := o.command(ctx, "deploy", file); err != nil || code != codeDone {
		return fmt.Errorf("the first deployment of %s ended with code %d: %s, %w", o.service, code, said, err)
	}
	return nil
}

// run changes the service until ctx is done.
func (o *operator) run(ctx context.Context) {
	for pause(ctx, o.between(500*time.Millisecond, 4*time.Second)) {
		o.change(ctx)
	}
}

// change makes one change. A good version may fail when faults take its instances
// away; a bad one must.
func (o *operator) change(ctx context.Context) {
	count := instancesMin + o.random.IntN(instancesMax-instancesMin+1)
	switch dice := o.random.IntN(100); {
	case dice < 45:
		o.deploy(ctx, "deploy", count, "", codeDone, codeFailed)
	case dice < 60:
		o.deploy(ctx, "deploy what is bad", count, []string{"--never-ready", "--exit-at-once"}[o.random.IntN(2)], codeFailed)
	case dice < 80:
		o.do(ctx, "scale", []int{codeDone}, "scale", o.service, strconv.Itoa(count))
	case dice < 90:
		o.do(ctx, "restart", []int{codeDone}, "restart", o.service)
	default:
		o.do(ctx, "roll back", []int{codeDone, codeFailed, codeRefused}, "rollback", o.service)
	}
}

func (o *operator) deploy(ctx context.Context, what string, instances int, bad string, may ...int) {
	file, err := o.spec(instances, bad)
	if err != nil {
		o.tally.broken("writing a spec: %v", err)
		return
	}
	o.do(ctx, what, may, "deploy", file)
}

// between returns a random time between two.
func (o *operator) between(least, most time.Duration) time.Duration {
	return least + time.Duration(o.random.Int64N(int64(most-least)))
}
