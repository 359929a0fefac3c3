package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) status() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status [SERVICE]", Short: "Show the cluster, or one service with its tasks", Example: "  aloft status\n  aloft status web --watch", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.clusterStatus(cmd, watch)
			}
			if !watch {
				return a.serviceStatus(cmd.Context(), cmd, args[0])
			}
			return a.follow(cmd.Context(), args[0], func(now *situation) (bool, error) {
				if now.service == nil {
					return true, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown service: %s", args[0]))
				}
				a.clearScreen(cmd.OutOrStdout())
				return false, a.serviceStatus(cmd.Context(), cmd, args[0])
			})
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes")
	return cmd
}

// clearScreen begins the picture anew; JSON is a stream and needs none.
func (a *app) clearScreen(w io.Writer) {
	if !a.json {
		fmt.Fprint(w, "\x1b[H\x1b[2J")
	}
}

func (a *app) serviceStatus(ctx context.Context, cmd *cobra.Command, name string) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	answer, err := cluster.GetService(ctx, connect.NewRequest(&pb.GetServiceRequest{Service: name}))
	if err != nil {
		return a.asked(err)
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), answer.Msg.GetService())
	}
	showService(cmd, answer.Msg.GetService())
	return nil
}

// showService prints a service, its deployment, its tasks, and what failed.
func showService(cmd *cobra.Command, v *pb.ServiceView) {
	out := cmd.OutOrStdout()
	s := v.GetService()
	fmt.Fprintf(out, "%s %s: %s, %d of %d ready, revision %d\n", kindOf(s.GetKind()), s.GetName(), v.GetState(), v.GetReady(), v.GetWanted(), s.GetRevision())
	if v.GetReason() != "" {
		fmt.Fprintf(out, "  %s\n", v.GetReason())
	}
	for _, r := range v.GetRevision().GetSpec().GetRoutes() {
		fmt.Fprintf(out, "  route: %s%s\n", orAny(r.GetHost()), r.GetPath())
	}
	if d := v.GetDeployment(); d != nil {
		fmt.Fprintf(out, "  deployment %s: revision %d -> %d, %s, started %s ago%s\n", d.GetId(), d.GetFrom(), d.GetTo(),
			deploymentState(d.GetState()), age(d.GetStartedAt(), time.Now()), because(d.GetReason()))
	}
	if s.GetNextRun() != nil {
		fmt.Fprintf(out, "  next run: %s\n", s.GetNextRun().AsTime().Format(time.RFC3339))
	}
	if len(v.GetTasks()) > 0 {
		fmt.Fprintln(out)
		taskTable(cmd, v.GetTasks())
	}
	for _, t := range v.GetTasks() {
		showFailure(out, t)
	}
}

func orAny(host string) string {
	if host == "" {
		return "any host "
	}
	return host
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// showFailure prints how the last attempt of a task ended, when it did not end
// well.
func showFailure(w io.Writer, t *pb.Task) {
	last := t.GetStatus().GetLast()
	good := last.GetCode() == 0 && last.GetSignal() == 0 && last.GetError() == "" && !last.GetOom()
	if last == nil || good {
		return
	}
	fmt.Fprintf(w, "\n%s: attempt before this state ended %s ago: %s\n", t.GetId(), age(last.GetAt(), time.Now()), exitText(last))
	for _, line := range last.GetLastLogs() {
		fmt.Fprintf(w, "  | %s\n", line)
	}
}

// clusterStatus prints the cluster in a few lines.
func (a *app) clusterStatus(cmd *cobra.Command, watch bool) error {
	for {
		if watch {
			a.clearScreen(cmd.OutOrStdout())
		}
		if err := a.clusterOnce(cmd); err != nil || !watch {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-cmd.Context().Done():
			return context.Cause(cmd.Context())
		}
	}
}

func (a *app) clusterOnce(cmd *cobra.Command) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	info, err := cluster.GetInfo(cmd.Context(), connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		return a.asked(err)
	}
	services, err := cluster.ListServices(cmd.Context(), connect.NewRequest(&pb.ListServicesRequest{PageSize: pageSize}))
	if err != nil {
		return a.asked(err)
	}
	agents, err := cluster.ListAgents(cmd.Context(), connect.NewRequest(&pb.ListAgentsRequest{PageSize: pageSize}))
	if err != nil {
		return a.asked(err)
	}
	if a.json {
		return printOverview(cmd.OutOrStdout(), info.Msg, services.Msg, agents.Msg)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "master %s leads since %s, epoch %d; %d routers\n", info.Msg.GetMaster(),
		age(info.Msg.GetLeadingSince(), time.Now()), info.Msg.GetEpoch(), len(info.Msg.GetRouters()))
	fmt.Fprintf(out, "agents: %s\n", tally(agents.Msg.GetAgents(), (*pb.AgentView).GetState))
	fmt.Fprintf(out, "services: %s\n", tally(services.Msg.GetServices(), (*pb.ServiceView).GetState))
	for _, s := range services.Msg.GetServices() {
		if s.GetReason() != "" {
			fmt.Fprintf(out, "  %s is %s: %s\n", s.GetService().GetName(), s.GetState(), s.GetReason())
		}
	}
	return nil
}

// printOverview joins the three answers into one object.
func printOverview(w io.Writer, info *pb.GetInfoResponse, services *pb.ListServicesResponse, agents *pb.ListAgentsResponse) error {
	joined := make(map[string]json.RawMessage)
	for _, m := range []any{info, services, agents} {
		text, err := marshalJSON(m)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &joined); err != nil {
			return err
		}
	}
	delete(joined, "next_page_token")
	return printJSON(w, joined)
}

// tally counts items by a word, as in "3 running, 1 pending".
func tally[T any](items []T, name func(T) string) string {
	counts := make(map[string]int)
	var order []string
	for _, item := range items {
		if counts[name(item)]++; counts[name(item)] == 1 {
			order = append(order, name(item))
		}
	}
	parts := make([]string, 0, len(order))
	for _, n := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counts[n], n))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
