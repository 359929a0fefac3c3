package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// watchEvery is how often status --watch looks at the whole cluster.
const watchEvery = time.Second

func (a *app) status() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status [SERVICE]", Short: "Show the cluster, or one service with its tasks",
		Long: "Show the cluster, or one service: its deployment or restart, where it stands in the queue if it waits for a place, its\n" +
			"tasks, and of those that failed the exit code or signal and the last lines of output.",
		Example: "  aloft status\n  aloft status web --watch", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			picture := a.clusterStatus
			if len(args) > 0 {
				picture = func(ctx context.Context, w io.Writer) error { return a.serviceStatus(ctx, w, args[0]) }
			}
			if !watch {
				return picture(cmd.Context(), cmd.OutOrStdout())
			}
			return a.watchStatus(cmd, strings.Join(args, ""), picture)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes, until Ctrl-C")
	return cmd
}

// watchStatus shows a picture again and again: of a service when something of
// it changes, of the cluster every second.
func (a *app) watchStatus(cmd *cobra.Command, service string, picture func(context.Context, io.Writer) error) error {
	screen := &screen{out: cmd.OutOrStdout()}
	again := func() error {
		var text bytes.Buffer
		if err := picture(cmd.Context(), &text); err != nil {
			return err
		}
		return screen.show(text.String())
	}
	if err := again(); err != nil {
		return err
	}
	if service != "" {
		return a.follow(cmd.Context(), service, func(now *situation) (bool, error) {
			if now.removed {
				return true, connect.NewError(connect.CodeNotFound, fmt.Errorf("service %s was removed", service))
			}
			return false, again()
		})
	}
	for {
		select {
		case <-time.After(watchEvery):
		case <-cmd.Context().Done():
			return context.Cause(cmd.Context())
		}
		if err := again(); err != nil {
			return err
		}
	}
}

func (a *app) serviceStatus(ctx context.Context, w io.Writer, name string) error {
	answer, err := ask(ctx, a, clusterAPI.GetService, &pb.GetServiceRequest{Service: name})
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(w, answer.GetService())
	}
	failed, err := a.failedBefore(ctx, answer.GetService().GetDeployment())
	if err != nil {
		return err
	}
	a.showService(w, answer.GetService(), failed)
	return nil
}

// failedBefore returns the deployment from which another one leads back, or nil.
func (a *app) failedBefore(ctx context.Context, back *pb.Deployment) (*pb.Deployment, error) {
	if !back.GetAutomatic() {
		return nil, nil
	}
	answer, err := ask(ctx, a, clusterAPI.ListDeployments, &pb.ListDeploymentsRequest{Service: back.GetService(), PageSize: 10})
	if err != nil {
		return nil, err
	}
	newest := answer.GetDeployments()
	for i, d := range newest {
		if d.GetId() == back.GetId() && i+1 < len(newest) {
			return newest[i+1], nil
		}
	}
	return nil, nil
}

// showService prints a service, its deployment with the one from which it leads
// back, its tasks, and what failed.
func (a *app) showService(w io.Writer, v *pb.ServiceView, failed *pb.Deployment) {
	fmt.Fprintln(w, headline(v))
	if v.GetReason() != "" {
		fmt.Fprintf(w, "  reason: %s\n", v.GetReason())
	}
	if v.GetTurn() != nil {
		fmt.Fprintf(w, "  waits: %s\n", a.turnText(v.GetTurn()))
	}
	for _, r := range v.GetRevision().GetSpec().GetRoutes() {
		fmt.Fprintf(w, "  route: %s\n", route(r))
	}
	deployments := slices.DeleteFunc([]*pb.Deployment{v.GetDeployment(), failed}, func(d *pb.Deployment) bool { return d == nil })
	for _, d := range deployments {
		fmt.Fprintf(w, "  deployment: %s\n", a.deploymentText(d))
	}
	if restart := a.restartText(v); restart != "" {
		fmt.Fprintf(w, "  restart: %s\n", restart)
	}
	if next := v.GetService().GetNextRun(); next != nil {
		fmt.Fprintf(w, "  next run: %s, in %s\n", a.clock(next), span(next.AsTime().Sub(a.cfg.Now())))
	}
	if len(v.GetTasks()) > 0 {
		fmt.Fprintln(w)
		rows := make([][]string, 0, len(v.GetTasks()))
		for _, t := range v.GetTasks() {
			rows = append(rows, a.taskRow(t))
		}
		table(w, taskHead, rows)
	}
	shown := make(map[string]bool)
	for _, t := range v.GetTasks() {
		what := "its last attempt failed"
		if ended(t) {
			what = "failed"
		}
		shown[t.GetId()] = a.showFailure(w, t.GetId(), what, t.GetStatus().GetLast())
	}
	for _, d := range deployments {
		if f := d.GetFailure(); !shown[f.GetTask()] {
			a.showFailure(w, f.GetTask(), "failed", f.GetExit())
		}
	}
}

// headline sums a service up.
func headline(v *pb.ServiceView) string {
	s := v.GetService()
	text := fmt.Sprintf("%s %s: %s", kindOf(s.GetKind()), s.GetName(), v.GetState())
	if !runsToCompletion(s.GetKind()) {
		text += fmt.Sprintf(", %d of %d ready", v.GetReady(), v.GetWanted())
	}
	if s.GetRevision() > 0 {
		text += fmt.Sprintf(", revision %d", s.GetRevision())
	}
	if s.GetRun() > 0 {
		text += fmt.Sprintf(", run %d", s.GetRun())
	}
	return text
}

// turnText says where a task stands in the queue, and when it may start.
func (a *app) turnText(turn *pb.Turn) string {
	text := fmt.Sprintf("%s, place %d", turn.GetTask(), turn.GetPlace())
	if turn.GetAtLeast() {
		text += " or later"
	}
	text += fmt.Sprintf(" of %d in the queue", turn.GetWaiting())
	if at := turn.GetExpectedStart(); at != nil {
		text += fmt.Sprintf(", may start at %s, in %s", a.clock(at), span(at.AsTime().Sub(a.cfg.Now())))
	} else {
		text += ", when it starts is not known"
	}
	if turn.GetWhy() != "" {
		text += ": " + turn.GetWhy()
	}
	return text
}

func (a *app) deploymentText(d *pb.Deployment) string {
	text := fmt.Sprintf("%s, revision %s, %s", d.GetId(), revisions(d.GetFrom(), d.GetTo()), deploymentState(d.GetState()))
	if d.GetEndedAt() == nil {
		text += fmt.Sprintf(", %d settled, begun %s ago", d.GetSettled(), a.age(d.GetStartedAt()))
	} else {
		text += fmt.Sprintf(" %s ago, took %s", a.age(d.GetEndedAt()), took(d))
	}
	if d.GetReason() != "" {
		text += ": " + d.GetReason()
	}
	return text
}

// showFailure prints how an attempt of a task ended and what it wrote, unless it
// ended well. It reports whether it did.
func (a *app) showFailure(w io.Writer, task, what string, exit *pb.Exit) bool {
	if exit == nil || succeeded(exit) {
		return false
	}
	fmt.Fprintf(w, "\n%s: %s %s ago: %s\n", task, what, a.age(exit.GetAt()), exitText(exit))
	for _, line := range exit.GetLastLogs() {
		fmt.Fprintf(w, "  | %s\n", line)
	}
	return true
}
