package agent

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commandOutputMax bounds what of a command probe's output is shown.
const commandOutputMax = 200

// probeCommand returns how the command probes of a task are run: with the
// task's environment, in its working directory, as the agent's own user.
func (a *Agent) probeCommand(in *instance) func(context.Context, []string) error {
	sandbox := a.sandbox(in.task)
	given, _ := a.environment(in, sandbox)
	dir := filepath.Join(sandbox, in.rev.spec.Run.Dir)
	env := make([]string, 0, len(given))
	for name, value := range given {
		env = append(env, name+"="+value)
	}
	return func(ctx context.Context, command []string) error {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = dir, env
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			text := strings.TrimSpace(output.String())
			return fmt.Errorf("%w: %s", err, text[:min(len(text), commandOutputMax)])
		}
		return nil
	}
}
