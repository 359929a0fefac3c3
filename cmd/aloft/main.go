// Command aloft is the whole product in one binary: the masters, agents and
// routers of a cluster, and the commands that speak to it.
//
// This package knows all parts and decides nothing: it reads flags and files,
// hands each part what it needs, and turns signals into the end of a context.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // schedules name time zones, and a bare machine has none

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
	_ "github.com/aloft-run/aloft/prefault" // before all that is large
)

// version is set by the linker, which can only set a variable; see the Makefile.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == supervisorName {
		runtime.LockOSThread() // it is the first one: see supervisor.Main
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out one command line and returns its exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := cli.New(cli.Config{Version: version, In: std.in, Out: std.out, Err: std.err})
	for _, cmd := range []*cobra.Command{devCommand(), masterCommand(), agentCommand(), routerCommand()} {
		cmd.GroupID = cli.RolesGroup
		root.AddCommand(cmd)
	}
	what := simulateCommand()
	what.GroupID = cli.MachinesGroup
	root.AddCommand(supervisorCommand(), what)
	if backup, _, err := root.Find([]string{cli.BackupCommand}); err == nil {
		backup.AddCommand(backupCommands()...)
	}
	root.SetArgs(args)
	return cli.Execute(ctx, root, std.err)
}

// untilDone turns the end that was asked for into success.
func untilDone(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}
