package cli

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// pageSize is how many items a list asks for at a time.
const pageSize = 1000

// pages calls next with the token of one page after the other until there is
// no more.
func (a *app) pages(cmd *cobra.Command, next func(context.Context, aloftv1connect.ClusterServiceClient, string) (string, error)) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	for token := ""; ; {
		token, err = next(cmd.Context(), cluster, token)
		if err != nil {
			return a.asked(err)
		}
		if token == "" {
			return nil
		}
	}
}

func (a *app) services() *cobra.Command {
	return &cobra.Command{
		Use: "services", Short: "List services, jobs, daemons and crons", Example: "  aloft services", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := &pb.ListServicesResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				page, err := c.ListServices(ctx, connect.NewRequest(&pb.ListServicesRequest{PageSize: pageSize, PageToken: token}))
				if err != nil {
					return "", err
				}
				list.Services = append(list.Services, page.Msg.GetServices()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			var rows [][]string
			for _, s := range list.GetServices() {
				rows = append(rows, []string{
					s.GetService().GetName(), kindOf(s.GetService().GetKind()), s.GetState(),
					number(s.GetReady()) + "/" + number(s.GetWanted()), number(s.GetService().GetRevision()),
					age(s.GetService().GetChangedAt(), time.Now()), s.GetReason(),
				})
			}
			table(cmd.OutOrStdout(), "NAME KIND STATE READY REVISION CHANGED REASON", rows)
			return nil
		},
	}
}

// orJSON prints a message where a list was read without an error.
func (a *app) orJSON(cmd *cobra.Command, message any, err error) error {
	if err != nil {
		return err
	}
	return printJSON(cmd.OutOrStdout(), message)
}

func (a *app) tasks() *cobra.Command {
	request := &pb.ListTasksRequest{PageSize: pageSize}
	cmd := &cobra.Command{
		Use: "tasks [SERVICE]", Short: "List tasks", Example: "  aloft tasks web\n  aloft tasks --agent a1 --all", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = strings.Join(args, "")
			list := &pb.ListTasksResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				request.PageToken = token
				page, err := c.ListTasks(ctx, connect.NewRequest(request))
				if err != nil {
					return "", err
				}
				list.Tasks = append(list.Tasks, page.Msg.GetTasks()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			taskTable(cmd, list.GetTasks())
			return nil
		},
	}
	cmd.Flags().StringVar(&request.Agent, "agent", "", "only those of this agent")
	cmd.Flags().BoolVar(&request.Ended, "all", false, "those that have ended, too")
	return cmd
}

// taskTable prints tasks, a line each.
func taskTable(cmd *cobra.Command, tasks []*pb.Task) {
	var rows [][]string
	for _, t := range tasks {
		s := t.GetStatus()
		reason := s.GetReason()
		if last := exitText(s.GetLast()); last != "" && reason == "" {
			reason = last
		}
		rows = append(rows, []string{
			t.GetId(), number(t.GetRevision()), taskState(s.GetState()), orDash(t.GetAgent()), number(s.GetAttempt()),
			age(s.GetSince(), time.Now()), reason,
		})
	}
	table(cmd.OutOrStdout(), "TASK REVISION STATE AGENT ATTEMPT SINCE REASON", rows)
}

func (a *app) agents() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agents", Short: "List agents, with what is free on them", Example: "  aloft agents", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := &pb.ListAgentsResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				page, err := c.ListAgents(ctx, connect.NewRequest(&pb.ListAgentsRequest{PageSize: pageSize, PageToken: token}))
				if err != nil {
					return "", err
				}
				list.Agents = append(list.Agents, page.Msg.GetAgents()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			var rows [][]string
			for _, v := range list.GetAgents() {
				rows = append(rows, []string{
					v.GetAgent().GetId(), v.GetState(), v.GetAgent().GetAddress(), number(v.GetTasks()), quantities(v.GetFree()),
				})
			}
			table(cmd.OutOrStdout(), "AGENT STATE ADDRESS TASKS FREE", rows)
			return nil
		},
	}
	cmd.AddCommand(a.removeAgent())
	return cmd
}

func (a *app) partitions() *cobra.Command {
	return &cobra.Command{
		Use: "partitions [AGENT]", Short: "List the partitions of agents", Example: "  aloft partitions a1", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			list := &pb.ListPartitionsResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				page, err := c.ListPartitions(ctx, connect.NewRequest(&pb.ListPartitionsRequest{
					Agent: strings.Join(args, ""), PageSize: pageSize, PageToken: token,
				}))
				if err != nil {
					return "", err
				}
				list.Partitions = append(list.Partitions, page.Msg.GetPartitions()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			var rows [][]string
			for _, v := range list.GetPartitions() {
				p := v.GetPartition()
				rows = append(rows, []string{
					p.GetAgent(), p.GetId(), p.GetQuantity().GetType(), quantity(p.GetQuantity()), quantity(v.GetFree()), weight(p.GetWeightThousandths()),
				})
			}
			table(cmd.OutOrStdout(), "AGENT PARTITION TYPE QUANTITY FREE WEIGHT", rows)
			return nil
		},
	}
}

func (a *app) deployments() *cobra.Command {
	return &cobra.Command{
		Use: "deployments [SERVICE]", Short: "List deployments, newest first", Example: "  aloft deployments web", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			list := &pb.ListDeploymentsResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				page, err := c.ListDeployments(ctx, connect.NewRequest(&pb.ListDeploymentsRequest{
					Service: strings.Join(args, ""), PageSize: pageSize, PageToken: token,
				}))
				if err != nil {
					return "", err
				}
				list.Deployments = append(list.Deployments, page.Msg.GetDeployments()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			var rows [][]string
			for _, d := range list.GetDeployments() {
				rows = append(rows, []string{
					d.GetId(), number(d.GetFrom()) + " -> " + number(d.GetTo()), deploymentState(d.GetState()),
					age(d.GetStartedAt(), time.Now()), took(d), d.GetReason(),
				})
			}
			table(cmd.OutOrStdout(), "DEPLOYMENT REVISIONS STATE STARTED TOOK REASON", rows)
			return nil
		},
	}
}

// took says how long a deployment lasted.
func took(d *pb.Deployment) string {
	if d.GetEndedAt() == nil {
		return "-"
	}
	return d.GetEndedAt().AsTime().Sub(d.GetStartedAt().AsTime()).Round(10 * time.Millisecond).String()
}

func (a *app) history() *cobra.Command {
	return &cobra.Command{
		Use: "history SERVICE", Short: "List the revisions of a service, newest first", Example: "  aloft history web", Args: exactlyOne("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list := &pb.ListRevisionsResponse{}
			err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
				page, err := c.ListRevisions(ctx, connect.NewRequest(&pb.ListRevisionsRequest{
					Service: args[0], PageSize: pageSize, PageToken: token,
				}))
				if err != nil {
					return "", err
				}
				list.Revisions = append(list.Revisions, page.Msg.GetRevisions()...)
				return page.Msg.GetNextPageToken(), nil
			})
			if err != nil || a.json {
				return a.orJSON(cmd, list, err)
			}
			var rows [][]string
			for _, r := range list.GetRevisions() {
				rows = append(rows, []string{
					number(r.GetNumber()), age(r.GetCreatedAt(), time.Now()), runText(r.GetSpec().GetRun()), r.GetReason(),
				})
			}
			table(cmd.OutOrStdout(), "REVISION CREATED RUNS REASON", rows)
			return nil
		},
	}
}

// runText is the program of a revision on one line.
func runText(r *pb.Run) string {
	text := r.GetShell()
	if len(r.GetCommand()) > 0 {
		text = strings.Join(r.GetCommand(), " ")
	}
	const longest = 60
	if runes := []rune(strings.ReplaceAll(text, "\n", " ")); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return strings.ReplaceAll(text, "\n", " ")
}
