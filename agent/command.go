package agent

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commandOutputMax bounds, in bytes, what is kept of a command probe's output.
const commandOutputMax = 200

// probeCommand returns how the command probes of a task are run: with the
// task's environment, in its working directory, as the agent's own user. What
// the command leaves running is killed.
func (a *Agent) probeCommand(in *instance) (func(context.Context, []string) error, error) {
	variables, err := a.environment(in)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(a.folder.sandbox(in.task), in.rev.spec.Run.Dir)
	env := make([]string, 0, len(variables))
	for name, value := range variables {
		env = append(env, name+"="+value)
	}
	return func(ctx context.Context, command []string) error {
		command, err := expand(command, variables)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = dir, env
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		var output beginning
		cmd.Stdout, cmd.Stderr = &output, &output
		if err = cmd.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(words(string(output.kept))))
		}
		return nil
	}, nil
}

// beginning keeps the first bytes that are written to it.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), commandOutputMax-len(b.kept))]...)
	return len(p), nil
}
