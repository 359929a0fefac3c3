package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
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
		Example: "  aloft run -- echo hi\n  aloft run --cpus 2 --mem 1GiB -- ./convert all",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("%s wants a COMMAND after --\nExample:\n%s", cmd.CommandPath(), cmd.Example)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runJob(cmd, flags, args) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the job (default: one that is not used yet)")
	f.StringVar(&flags.pool, "pool", "", "pool to draw from")
	f.StringVar(&flags.cpus, "cpus", "0.1", "cpus")
	f.StringVar(&flags.mem, "mem", "64MiB", "memory")
	f.StringArrayVar(&flags.env, "env", nil, "NAME=value; may be given several times")
	f.BoolVar(&flags.detach, "detach", false, "return once the job is accepted")
	f.BoolVar(&flags.keep, "keep", false, "keep the job and its history when it has ended")
	return cmd
}

// jobFile returns the job as a spec file.
func (f runFlags) jobFile(command []string) (*pb.SpecFile, error) {
	s := &spec.Spec{
		Kind: spec.Job, Name: id.Service(f.name), Instances: 1,
		Run:    spec.Run{Command: escaped(command), Env: make(map[string]string)},
		Logs:   spec.Logs{SizeBytes: 10 << 20, Files: 2},
		OnLost: spec.OnLost{After: time.Minute},
	}
	if f.pool != "" {
		s.Pools = []id.Pool{id.Pool(f.pool)}
	}
	for t, text := range map[resource.Type]string{resource.CPUs: f.cpus, resource.Mem: f.mem} {
		q, err := resource.Parse(t, text)
		if err != nil {
			return nil, usage("--%s: %w", t, err)
		}
		s.Resources = s.Resources.With(t, q)
	}
	for _, pair := range f.env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usage("--env: found %q; want NAME=value", pair)
		}
		s.Run.Env[name] = strings.ReplaceAll(value, "$", "$$")
	}
	return &pb.SpecFile{Name: "run", Text: []byte(spec.Encode(s))}, nil
}

// escaped keeps the words as they were typed: the shell has replaced what it
// should.
func escaped(words []string) []string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = strings.ReplaceAll(word, "$", "$$")
	}
	return list
}

func (a *app) runJob(cmd *cobra.Command, flags runFlags, command []string) error {
	if flags.name == "" {
		flags.name = "run-" + strings.ToLower(rand.Text()[:10])
	}
	file, err := flags.jobFile(command)
	if err != nil {
		return err
	}
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	answer, err := cluster.Deploy(cmd.Context(), connect.NewRequest(&pb.DeployRequest{Files: []*pb.SpecFile{file}}))
	if err != nil {
		return a.asked(err)
	}
	if flags.detach {
		return a.showDeployed(cmd, answer.Msg)
	}
	ended, err := a.followRun(cmd, flags.name)
	if !flags.keep {
		left := context.WithoutCancel(cmd.Context())
		_, stopErr := cluster.Stop(left, connect.NewRequest(&pb.StopRequest{Service: flags.name, Remove: true}))
		err = errors.Join(err, stopErr)
	}
	if err != nil {
		return err
	}
	if a.json {
		if err := printJSON(cmd.OutOrStdout(), ended); err != nil {
			return err
		}
	}
	return runExit(ended)
}

// outputWithin is how long run waits for the rest of the output when the
// program has ended.
const outputWithin = 10 * time.Second

// followRun streams the output of a job's task until both have ended.
func (a *app) followRun(cmd *cobra.Command, name string) (*pb.Task, error) {
	ctx, cancel := context.WithCancel(cmd.Context())
	var streaming sync.WaitGroup
	defer streaming.Wait()
	defer cancel()
	output := make(chan error, 1)
	var ended *pb.Task
	var asked bool
	var pending string
	err := a.follow(ctx, name, func(now *situation) (bool, error) {
		for _, t := range now.tasks {
			if reason := t.GetStatus().GetReason(); t.GetStatus().GetState() == pb.TaskState_TASK_STATE_PENDING && reason != pending {
				pending = reason
				fmt.Fprintf(cmd.ErrOrStderr(), "waiting: %s\n", pending)
			}
			if !asked && t.GetStatus().GetState() >= pb.TaskState_TASK_STATE_RUNNING {
				asked = true
				streaming.Go(func() { output <- a.copyLogs(ctx, runLogs(t.GetId()), runPrinter(cmd)) })
			}
			if t.GetStatus().GetState() >= pb.TaskState_TASK_STATE_STOPPED {
				ended = t
			}
		}
		return ended != nil, nil
	})
	if err != nil || !asked {
		return ended, err
	}
	select {
	case err := <-output:
		if err != nil && !isNotFound(err) { // a program that never ran has no output
			fmt.Fprintf(cmd.ErrOrStderr(), "aloft: output incomplete: %s\n", messageOf(err))
		}
	case <-time.After(outputWithin):
		fmt.Fprintln(cmd.ErrOrStderr(), "aloft: output incomplete: its agent is slow to send it")
	case <-ctx.Done():
		return ended, context.Cause(ctx)
	}
	return ended, nil
}

func isNotFound(err error) bool { return connect.CodeOf(err) == connect.CodeNotFound }

func runLogs(task string) *pb.LogsRequest {
	return &pb.LogsRequest{Name: task, Follow: true, Lines: 10_000}
}

func runPrinter(cmd *cobra.Command) func(*pb.LogLine) error {
	return func(line *pb.LogLine) error {
		var w io.Writer = cmd.OutOrStdout()
		if line.GetStream() == "stderr" {
			w = cmd.ErrOrStderr()
		}
		_, err := fmt.Fprintln(w, line.GetText())
		return err
	}
}

// runExit turns the end of the task into the end of the command.
func runExit(t *pb.Task) error {
	last := t.GetStatus().GetLast()
	switch {
	case t.GetStatus().GetState() == pb.TaskState_TASK_STATE_FINISHED:
		return nil
	case last.GetSignal() != 0:
		return &exitError{128 + int(last.GetSignal()), fmt.Errorf("%s: %s", t.GetId(), exitText(last))}
	case last.GetError() == "" && last.GetCode() > 0:
		return &exitError{int(last.GetCode()), nil}
	default:
		return &exitError{ExitFailed, fmt.Errorf("%s: %s %s", t.GetId(), exitText(last), t.GetStatus().GetReason())}
	}
}
