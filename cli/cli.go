// Package cli is the commands with which people and scripts use a cluster.
//
// Each command asks a master by its API, prints what it learned, and exits with
// a code that says how it went. With --json it prints the API's own answer, so
// that a script reads the same names as a program. The package keeps no state.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// The exit codes of every command. A command that runs a program, such as run,
// exits with the program's own.
const (
	ExitOK          = 0
	ExitFailed      = 1   // what was asked for failed, or was refused
	ExitUsage       = 2   // the command line or a file is wrong
	ExitUnreachable = 3   // no master answered
	ExitNotFound    = 4   // there is nothing of that name
	ExitConflict    = 5   // the cluster's state forbids it, or it has changed meanwhile
	ExitInterrupted = 130 // Ctrl-C
)

// addressVariable names the environment variable with the master's address.
const addressVariable = "ALOFT_ADDR"

// Config is what the commands are made with.
type Config struct {
	Version  string
	In       io.Reader
	Out, Err io.Writer
}

// exitError is an error with the exit code that it leads to.
type exitError struct {
	code int
	err  error // nil: everything was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage returns an error for a wrong command line.
func usage(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

// app is what the commands share.
type app struct {
	cfg     Config
	address string
	json    bool
}

// New returns the command that all others hang on.
func New(cfg Config) *cobra.Command {
	a := &app{cfg: cfg}
	root := &cobra.Command{
		Use:   "aloft",
		Short: "Run services and jobs on a cluster, and change what runs without a gap",
		Long: "aloft pools the machines of a cluster, runs services and jobs on them, and changes what runs without a gap.\n\n" +
			"Exit codes: 0 done, 1 failed or refused, 2 wrong command line or file, 3 no master reached,\n" +
			"4 not found, 5 conflict or changed meanwhile, 130 interrupted; run exits with the program's own code.",
		Example:       "  aloft dev                     # a whole cluster on this machine\n  aloft deploy web.yaml\n  aloft status web",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       cfg.Version,
	}
	root.SetIn(cfg.In)
	root.SetOut(cfg.Out)
	root.SetErr(cfg.Err)
	root.PersistentFlags().StringVar(&a.address, "addr", "", "address of a master (default $"+addressVariable+" or "+client.DefaultAddress+")")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the API's answer as JSON")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(
		a.validate(), a.plan(), a.deploy(), a.run(), a.schema(),
		a.status(), a.services(), a.tasks(), a.history(), a.explain(), a.logs(), a.events(),
		a.scale(), a.restart(), a.stop(), a.rollback(),
		a.deployments(), a.pause(), a.resume(), a.abort(),
		a.agents(), a.drain(), a.undrain(), a.partitions(), a.pools(), a.capacity(),
		a.version(),
	)
	return root
}

// Execute carries out a command line and returns its exit code. It says on
// errOut what went wrong.
func Execute(ctx context.Context, root *cobra.Command, errOut io.Writer) int {
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	code := codeOf(ctx, err)
	if text := messageOf(err); text != "" && code != ExitInterrupted {
		fmt.Fprintf(errOut, "aloft: %s\n", text)
	}
	return code
}

func codeOf(ctx context.Context, err error) int {
	if coded, ok := errors.AsType[*exitError](err); ok {
		return coded.code
	}
	if ctx.Err() != nil {
		return ExitInterrupted
	}
	coded, ok := errors.AsType[*connect.Error](err)
	if !ok {
		if strings.HasPrefix(err.Error(), "unknown command") {
			return ExitUsage
		}
		return ExitFailed
	}
	switch coded.Code() {
	case connect.CodeUnavailable:
		return ExitUnreachable
	case connect.CodeNotFound:
		return ExitNotFound
	case connect.CodeAborted, connect.CodeFailedPrecondition, connect.CodeAlreadyExists:
		return ExitConflict
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return ExitUsage
	default:
		return ExitFailed
	}
}

// messageOf returns an error without the name of its code, which the exit code
// says already.
func messageOf(err error) string {
	if coded, ok := errors.AsType[*connect.Error](err); ok {
		return coded.Message()
	}
	return err.Error()
}

// cluster returns the API of the master that the command line names.
func (a *app) cluster() (aloftv1connect.ClusterServiceClient, error) {
	address := a.address
	if address == "" {
		address = os.Getenv(addressVariable)
	}
	if address == "" {
		address = client.DefaultAddress
	}
	c, err := client.New(strings.Split(address, ",")...)
	if err != nil {
		return nil, &exitError{ExitUsage, err}
	}
	return c.Cluster(), nil
}

// asked adds to an error of a call what the reader can do about it.
func (a *app) asked(err error) error {
	if coded, ok := errors.AsType[*connect.Error](err); ok && coded.Code() == connect.CodeUnavailable {
		return &exitError{ExitUnreachable, fmt.Errorf(
			"no master answered: %s\nIs one running? Start a cluster with 'aloft dev', or name a master with --addr or $%s", coded.Message(), addressVariable,
		)}
	}
	return err
}

// call makes one call of the API and prints its answer: as JSON when that was
// asked for, or else as show writes it.
func call[Req, Res any](
	cmd *cobra.Command, a *app, req *Req,
	method func(aloftv1connect.ClusterServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	show func(*Res),
) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	answer, err := method(cluster, cmd.Context(), connect.NewRequest(req))
	if err != nil {
		return a.asked(err)
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), answer.Any())
	}
	show(answer.Msg)
	return nil
}
