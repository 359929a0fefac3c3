package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
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

// exitHelp is what the help of the root command says about them.
const exitHelp = `Exit codes:
  0    done
  1    failed: what was asked for went wrong, such as a deployment that was rolled back
  2    the command line or a spec file is wrong; nothing was changed
  3    no master answered
  4    there is nothing of that name
  5    refused: the state of the cluster forbids it, or it has changed meanwhile
  130  interrupted by Ctrl-C
  run exits with the code of the program that it ran, with 128 + N when signal N ended it, with 127 when there is no
  such program, and with 126 when it cannot be executed.`

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

// UsageError returns the error of a wrong command line, which leads to
// ExitUsage.
func UsageError(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

// NoArguments refuses what follows a command's name.
func NoArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError("%s takes no argument; found %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return UsageError("%s takes at most one argument; found %d: %s", cmd.CommandPath(), len(args), strings.Join(args, " "))
	}
	return nil
}

// exactly wants one argument for each of the names, and says which where they
// are missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) || args[i] == "" {
				return UsageError("%s: %s is missing\nExample:\n%s", cmd.CommandPath(), name, cmd.Example)
			}
		}
		if len(args) > len(names) {
			return UsageError("%s takes %s; found one more: %q", cmd.CommandPath(), strings.Join(names, " and "), args[len(names)])
		}
		return nil
	}
}

func atLeastOneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return UsageError("%s: FILE is missing; - is standard input\nExample:\n%s", cmd.CommandPath(), cmd.Example)
	}
	return nil
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
	if err == nil {
		return ExitOK
	}
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
	if _, ok := errors.AsType[*exitError](err); ok {
		return err.Error()
	}
	if coded, ok := errors.AsType[*connect.Error](err); ok {
		return coded.Message()
	}
	return err.Error()
}
