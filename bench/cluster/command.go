package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

var (
	// ErrFailed is the error for a command that ended with another code than 0.
	ErrFailed = errors.New("the command failed")
	// ErrNotFound is the error for a command that asked for what is not there.
	ErrNotFound = errors.New("it is not there")
)

// codeNotFound is the exit code for something that is not there.
const codeNotFound = 4

// Output is what a command wrote and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// String returns all that the command wrote.
func (o Output) String() string { return strings.TrimSpace(o.Stdout + o.Stderr) }

// Aloft runs a command of the binary against the cluster. That it ends with a
// code other than 0 is no error.
func (c *Cluster) Aloft(ctx context.Context, arguments ...string) (Output, error) {
	command := c.command(ctx, arguments...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	output := Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: command.ProcessState.ExitCode()}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return output, fmt.Errorf("aloft %s: %w", strings.Join(arguments, " "), err)
	}
	if ctx.Err() != nil {
		return output, context.Cause(ctx)
	}
	return output, nil
}

// Do runs a command that must succeed. Else the error wraps ErrNotFound or
// ErrFailed.
func (c *Cluster) Do(ctx context.Context, arguments ...string) (Output, error) {
	output, err := c.Aloft(ctx, arguments...)
	if err != nil || output.Code == 0 {
		return output, err
	}
	kind := ErrFailed
	if output.Code == codeNotFound {
		kind = ErrNotFound
	}
	return output, fmt.Errorf("aloft %s: %w: code %d, %s", strings.Join(arguments, " "), kind, output.Code, output)
}

// read runs a command that must succeed and decodes the JSON that it prints.
func (c *Cluster) read(ctx context.Context, into any, arguments ...string) error {
	output, err := c.Do(ctx, append(arguments, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(output.Stdout), into); err != nil {
		return fmt.Errorf("aloft %s: its JSON: %w: %.200s", strings.Join(arguments, " "), err, output.Stdout)
	}
	return nil
}

// Watch hands each status of a service to see, from the first one on, until ctx is
// done or the command ends, which is an error.
func (c *Cluster) Watch(ctx context.Context, service string, see func(Status)) error {
	command := c.command(ctx, "status", service, "--watch", "--json")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	stream := json.NewDecoder(stdout)
	for err == nil {
		var status Status
		if err = stream.Decode(&status); err == nil {
			see(status)
		}
	}
	ended := command.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case command.ProcessState.ExitCode() == codeNotFound:
		return fmt.Errorf("service %s: %w", service, ErrNotFound)
	}
	return fmt.Errorf("watching service %s: %w, then %v: %s", service, err, ended, stderr.String())
}

func (c *Cluster) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, c.cfg.Aloft, arguments...)
	command.Env = append(os.Environ(), "ALOFT_ADDR="+c.API())
	return command
}
