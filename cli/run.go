package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// runFlags describe the job that run makes.
type runFlags struct {
	name   string
	pool   string
	cpus   string
	mem    string
	env    []string
	detach bool
	keep   bool
}

func (a *app) run() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use: "run [flags] -- COMMAND [ARGUMENT]...", Short: "Run a command as a job, show its output, and exit with its code",
		Long: "Run a command as a job, show its output, and exit with its code: with 128 + N when signal N ended it,\n" +
			"with 127 when there is no such program and with 126 when it cannot be executed.\n\n" +
			"The job is forgotten when it has ended, unless --keep or --detach is given: 'aloft stop NAME --remove' forgets it\n" +
			"then. Ctrl-C stops it.",
		Example: "  aloft run -- echo hi\n  aloft run --cpus 2 --mem 1GiB -- ./convert all",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return UsageError("%s: COMMAND is missing after --\nExample:\n%s", cmd.CommandPath(), cmd.Example)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runJob(cmd, flags, args) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the job, which must be a new one (default: one that is not used yet)")
	f.StringVar(&flags.pool, "pool", "", "pool to draw from")
	f.StringVar(&flags.cpus, "cpus", "0.1", "cpus")
	f.StringVar(&flags.mem, "mem", "64MiB", "memory")
	f.StringArrayVar(&flags.env, "env", nil, "NAME=value; may be given several times")
	f.BoolVar(&flags.detach, "detach", false, "return once the job is accepted; it is kept when it has ended")
	f.BoolVar(&flags.keep, "keep", false, "keep the job and its history when it has ended")
	return cmd
}

// jobFile returns the job as a spec file.
func (f runFlags) jobFile(command []string) (*pb.SpecFile, error) {
	s := spec.New(spec.Job, id.Service(f.name))
	s.Run.Command, s.Run.Env = escaped(command), make(map[string]string)
	if f.pool != "" {
		s.Pools = []id.Pool{id.Pool(f.pool)}
	}
	for t, text := range map[resource.Type]string{resource.CPUs: f.cpus, resource.Mem: f.mem} {
		q, err := resource.Parse(t, text)
		if err != nil {
			return nil, UsageError("--%s: %v", t, err)
		}
		s.Resources = s.Resources.With(t, q)
	}
	for _, pair := range f.env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, UsageError("--env: found %q; want NAME=value", pair)
		}
		s.Run.Env[name] = escape(value)
	}
	return &pb.SpecFile{Name: "run", Text: []byte(spec.Encode(s))}, nil
}

// escaped keeps words as they were typed: the shell has replaced what it should.
func escaped(words []string) []string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = escape(word)
	}
	return list
}

func escape(word string) string { return strings.ReplaceAll(word, "$", "$$") }

func (a *app) runJob(cmd *cobra.Command, flags runFlags, command []string) error {
	named := flags.name != ""
	if !named {
		flags.name = "run-" + strings.ToLower(rand.Text()[:10])
	}
	file, err := flags.jobFile(command)
	if err != nil {
		return err
	}
	if named {
		if err := a.refuseTaken(cmd.Context(), flags.name); err != nil {
			return err
		}
	}
	accepted, err := ask(cmd.Context(), a, clusterAPI.Deploy, &pb.DeployRequest{Files: []*pb.SpecFile{file}})
	if err != nil {
		return err
	}
	if flags.detach {
		return (&following{app: a, detach: true}).end(cmd, accepted.GetServices())
	}
	r := newRunner(cmd, a, flags.name)
	last, err := r.follow(cmd.Context())
	if interrupted := cmd.Context().Err() != nil; interrupted || !flags.keep {
		err = errors.Join(err, a.forget(cmd.Context(), flags))
	}
	if err != nil {
		return err
	}
	if a.json {
		if err := printLineJSON(cmd.OutOrStdout(), last); err != nil {
			return err
		}
	}
	return runExit(last)
}

// refuseTaken returns an error if there is something of that name: run replaces
// nothing.
func (a *app) refuseTaken(ctx context.Context, name string) error {
	answer, err := ask(ctx, a, clusterAPI.GetService, &pb.GetServiceRequest{Service: name})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	taken := answer.GetService().GetService()
	text := fmt.Sprintf("there is a %s %s already; choose another --name", kindOf(taken.GetKind()), name)
	if taken.GetKind() == pb.SpecKind_SPEC_KIND_JOB {
		text += fmt.Sprintf(", or have it forgotten with 'aloft stop %s --remove'", name)
	}
	return &exitError{ExitConflict, errors.New(text)}
}

// forgetWithin bounds the wait for a master that stops a job.
const forgetWithin = 10 * time.Second

// forget stops a job whose end is no longer waited for, and removes it unless it
// is to be kept.
func (a *app) forget(ctx context.Context, flags runFlags) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetWithin)
	defer cancel()
	_, err := ask(ctx, a, clusterAPI.Stop, &pb.StopRequest{Service: flags.name, Remove: !flags.keep})
	if isNotFound(err) {
		return nil
	}
	return err
}

// runExit turns the end of the task into the end of the command.
func runExit(t *pb.Task) error {
	status := t.GetStatus()
	last, state := status.GetLast(), status.GetState()
	stopped := state == pb.TaskState_TASK_STATE_STOPPED
	switch {
	case state == pb.TaskState_TASK_STATE_FINISHED:
		return nil
	case state == pb.TaskState_TASK_STATE_FAILED && last.GetError() == "" && last.GetSignal() == 0 && last.GetCode() > 0:
		return &exitError{int(last.GetCode()), nil}
	case last == nil || succeeded(last) || state == pb.TaskState_TASK_STATE_LOST:
		return &exitError{ExitFailed, fmt.Errorf("%s is %s: %s", t.GetId(), taskState(state), orDash(status.GetReason()))}
	case stopped && status.GetReason() != "":
		return &exitError{programCode(last), fmt.Errorf("%s: %s: %s", t.GetId(), exitText(last), status.GetReason())}
	default:
		return &exitError{programCode(last), fmt.Errorf("%s: %s", t.GetId(), exitText(last))}
	}
}

// programCode returns the exit code that a shell would give for a program that
// ended like this, and not well.
func programCode(e *pb.Exit) int {
	switch {
	case e.GetSignal() > 0:
		return 128 + int(e.GetSignal())
	case e.GetCode() > 0:
		return int(e.GetCode())
	default:
		return ExitFailed
	}
}
