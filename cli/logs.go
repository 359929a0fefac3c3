package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) logs() *cobra.Command {
	request := &pb.LogsRequest{}
	cmd := &cobra.Command{
		Use: "logs TASK|SERVICE", Short: "Show the output of a task, or of all tasks of a service",
		Example: "  aloft logs web -f\n  aloft logs web-2-5 --previous", Args: exactlyOne("TASK or SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			return a.asked(a.copyLogs(cmd.Context(), request, a.logPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr())))
		},
	}
	cmd.Flags().BoolVarP(&request.Follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().BoolVar(&request.Previous, "previous", false, "of the attempt before the newest")
	cmd.Flags().Int32VarP(&request.Lines, "lines", "n", 0, "of each stream of each task, the newest (default 100)")
	return cmd
}

// copyLogs hands every line of an answer to print.
func (a *app) copyLogs(ctx context.Context, request *pb.LogsRequest, print func(*pb.LogLine) error) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	stream, err := cluster.Logs(ctx, connect.NewRequest(request))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		for _, line := range stream.Msg().GetLines() {
			if err := print(line); err != nil {
				return err
			}
		}
	}
	return stream.Err()
}

// logPrinter writes lines to the streams that they came from, with the task's
// name once there is a second task.
func (a *app) logPrinter(out, errOut io.Writer) func(*pb.LogLine) error {
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

func (a *app) events() *cobra.Command {
	var follow bool
	var service string
	cmd := &cobra.Command{
		Use: "events", Short: "Tell what happened in the cluster", Example: "  aloft events -f --service web", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.cluster()
			if err != nil {
				return err
			}
			request := &pb.ListNotesRequest{Service: service, PageSize: pageSize}
			for {
				answer, err := cluster.ListNotes(cmd.Context(), connect.NewRequest(request))
				if err != nil {
					return a.asked(err)
				}
				for _, n := range answer.Msg.GetNotes() {
					request.After = n.GetSeq()
					if err := a.printNote(cmd.OutOrStdout(), n); err != nil {
						return err
					}
				}
				if !follow {
					return nil
				}
				select {
				case <-time.After(500 * time.Millisecond):
				case <-cmd.Context().Done():
					return &exitError{ExitInterrupted, nil}
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().StringVar(&service, "service", "", "only of this service")
	return cmd
}

func (a *app) printNote(w io.Writer, n *pb.Note) error {
	if a.json {
		return printLineJSON(w, n)
	}
	_, err := fmt.Fprintf(w, "%s  %-22s %-20s %s\n",
		n.GetAt().AsTime().Local().Format("15:04:05.000"), n.GetKind(), subject(n), n.GetText())
	return err
}

// subject names what a note is about, as closely as it says.
func subject(n *pb.Note) string {
	for _, name := range []string{n.GetTask(), n.GetDeployment(), n.GetService(), n.GetAgent(), n.GetPool()} {
		if name != "" {
			return name
		}
	}
	return "-"
}
