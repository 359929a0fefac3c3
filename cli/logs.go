package cli

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) logs() *cobra.Command {
	request := &pb.LogsRequest{}
	cmd := &cobra.Command{
		Use: "logs TASK|SERVICE", Short: "Show the output of a task, or of all tasks of a service",
		Long: "Show the output of a task, or of all tasks of a service, each line with the name of its task: of those that run,\n" +
			"or else of the newest that has ended. Of a job or cron it is that of all copies of the newest run.\n\n" +
			"With -f it goes on: with a task until it ends, with a job until its run is over, with a service until Ctrl-C,\n" +
			"instances that start meanwhile included. --previous passes over tasks that have had no attempt before.\n" +
			"Lines that a program wrote to its standard error go to standard error.",
		Example: "  aloft logs web -f\n  aloft logs web-2-5 --previous", Args: exactly("TASK or SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.GetLines() < 0 {
				return UsageError("--lines: found %d; want a number from 1, or 0 for 100", request.GetLines())
			}
			if request.GetFollow() && request.GetPrevious() {
				return UsageError("--follow and --previous exclude each other: nothing comes from an attempt that has ended")
			}
			request.Name = args[0]
			write := a.logWriter(cmd.OutOrStdout(), cmd.ErrOrStderr())
			if request.GetFollow() {
				return a.followLogs(cmd.Context(), request, write)
			}
			return a.copyLogs(cmd.Context(), request, write)
		},
	}
	cmd.Flags().BoolVarP(&request.Follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().BoolVar(&request.Previous, "previous", false, "of the attempt before the newest")
	cmd.Flags().Int32VarP(&request.Lines, "lines", "n", 0, "of each stream of each task, the newest (default 100)")
	return cmd
}

// copyLogs hands every line of an answer to write.
func (a *app) copyLogs(ctx context.Context, request *pb.LogsRequest, write func(*pb.LogLine) error) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	stream, err := cluster.Logs(ctx, connect.NewRequest(request))
	if err != nil {
		return a.advise(err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		for _, line := range stream.Msg().GetLines() {
			if err := write(line); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return a.advise(err)
	}
	return nil
}

// logWriter returns a function that writes a line to the stream that it came
// from, with the name of its task. One goroutine at a time may call it.
func (a *app) logWriter(out, errOut io.Writer) func(*pb.LogLine) error {
	if a.json {
		return func(line *pb.LogLine) error { return printLineJSON(out, line) }
	}
	return func(line *pb.LogLine) error {
		w := out
		if line.GetStream() == "stderr" {
			w = errOut
		}
		_, err := fmt.Fprintf(w, "%s | %s\n", line.GetTask(), line.GetText())
		return err
	}
}
