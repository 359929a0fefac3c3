package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// list is how a list of the API is asked for and shown.
type list[Req, Res, Item any] struct {
	method method[Req, Res]
	items  func(*Res) []Item
	head   string
	row    func(Item) []string
}

// show asks for a whole list and prints it.
func show[Req, Res, Item any, Request message[Req], Answer message[Res]](
	cmd *cobra.Command, a *app, request Request, l list[Req, Res, Item],
) error {
	whole, err := pages[Req, Res, Request, Answer](cmd.Context(), a, l.method, request)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), whole)
	}
	var rows [][]string
	for _, item := range l.items((*Res)(whole)) {
		rows = append(rows, l.row(item))
	}
	table(cmd.OutOrStdout(), l.head, rows)
	return nil
}

func (a *app) services() *cobra.Command {
	return &cobra.Command{
		Use: "services", Short: "List services, jobs, daemons and crons", Example: "  aloft services", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, a, &pb.ListServicesRequest{}, list[pb.ListServicesRequest, pb.ListServicesResponse, *pb.ServiceView]{
				method: clusterAPI.ListServices, items: (*pb.ListServicesResponse).GetServices,
				head: "NAME KIND STATE READY REVISION CHANGED REASON",
				row: func(v *pb.ServiceView) []string {
					s := v.GetService()
					return []string{
						s.GetName(), kindOf(s.GetKind()), v.GetState(), readyText(v), number(s.GetRevision()),
						a.age(s.GetChangedAt()), v.GetReason(),
					}
				},
			})
		},
	}
}

// readyText says how many instances are in service, of those that are wanted.
func readyText(v *pb.ServiceView) string {
	if runsToCompletion(v.GetService().GetKind()) {
		return "-"
	}
	return number(v.GetReady()) + "/" + number(v.GetWanted())
}

func (a *app) tasks() *cobra.Command {
	request := &pb.ListTasksRequest{}
	cmd := &cobra.Command{
		Use: "tasks [SERVICE]", Short: "List tasks", Example: "  aloft tasks web\n  aloft tasks --agent a1 --all", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = strings.Join(args, "")
			return show(cmd, a, request, list[pb.ListTasksRequest, pb.ListTasksResponse, *pb.Task]{
				method: clusterAPI.ListTasks, items: (*pb.ListTasksResponse).GetTasks, head: taskHead, row: a.taskRow,
			})
		},
	}
	cmd.Flags().StringVar(&request.Agent, "agent", "", "only those of this agent")
	cmd.Flags().BoolVar(&request.Ended, "all", false, "those that have ended, too")
	return cmd
}

const taskHead = "TASK REVISION STATE AGENT PORTS ATTEMPT SINCE REASON"

// taskRow shows a task. Where nothing else is said, its reason is that it is not
// alive, or how the last attempt ended.
func (a *app) taskRow(t *pb.Task) []string {
	s := t.GetStatus()
	reason := s.GetReason()
	if reason == "" {
		reason = cmp.Or(s.GetUnhealthy(), exitText(s.GetLast()))
	}
	return []string{
		t.GetId(), number(t.GetRevision()), taskState(s.GetState()), orDash(t.GetAgent()), ports(t.GetPorts()),
		number(s.GetAttempt()), a.age(s.GetSince()), reason,
	}
}

func (a *app) agents() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agents", Short: "List agents, with what is free on them", Example: "  aloft agents\n  aloft agents remove a1", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, a, &pb.ListAgentsRequest{}, list[pb.ListAgentsRequest, pb.ListAgentsResponse, *pb.AgentView]{
				method: clusterAPI.ListAgents, items: (*pb.ListAgentsResponse).GetAgents,
				head: "AGENT STATE ADDRESS TASKS FREE",
				row: func(v *pb.AgentView) []string {
					return []string{
						v.GetAgent().GetId(), v.GetState(), orDash(v.GetAgent().GetAddress()), number(v.GetTasks()), quantities(v.GetFree()),
					}
				},
			})
		},
	}
	cmd.AddCommand(a.complete(agentNames, a.removeAgent()))
	return cmd
}

func (a *app) partitions() *cobra.Command {
	return &cobra.Command{
		Use: "partitions [AGENT]", Short: "List the partitions of agents", Example: "  aloft partitions a1", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &pb.ListPartitionsRequest{Agent: strings.Join(args, "")}
			return show(cmd, a, request, list[pb.ListPartitionsRequest, pb.ListPartitionsResponse, *pb.PartitionView]{
				method: clusterAPI.ListPartitions, items: (*pb.ListPartitionsResponse).GetPartitions,
				head: "AGENT PARTITION TYPE QUANTITY FREE WEIGHT",
				row: func(v *pb.PartitionView) []string {
					p := v.GetPartition()
					return []string{
						p.GetAgent(), p.GetId(), p.GetQuantity().GetType(), quantity(p.GetQuantity()), quantity(v.GetFree()), weight(p.GetWeightThousandths()),
					}
				},
			})
		},
	}
}

func (a *app) deployments() *cobra.Command {
	return &cobra.Command{
		Use: "deployments [SERVICE]", Short: "List deployments, newest first", Example: "  aloft deployments web", Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &pb.ListDeploymentsRequest{Service: strings.Join(args, "")}
			return show(cmd, a, request, list[pb.ListDeploymentsRequest, pb.ListDeploymentsResponse, *pb.Deployment]{
				method: clusterAPI.ListDeployments, items: (*pb.ListDeploymentsResponse).GetDeployments,
				head: "DEPLOYMENT REVISIONS STATE STARTED TOOK REASON",
				row: func(d *pb.Deployment) []string {
					return []string{
						d.GetId(), revisions(d.GetFrom(), d.GetTo()), deploymentState(d.GetState()), a.age(d.GetStartedAt()), took(d), d.GetReason(),
					}
				},
			})
		},
	}
}

// revisions names the way of a deployment.
func revisions(from, to int64) string {
	if from == 0 {
		return "new -> " + number(to)
	}
	return number(from) + " -> " + number(to)
}

// took says how long a deployment lasted.
func took(d *pb.Deployment) string {
	if d.GetEndedAt() == nil {
		return "-"
	}
	return stopwatch(d.GetEndedAt().AsTime().Sub(d.GetStartedAt().AsTime()))
}

func (a *app) history() *cobra.Command {
	return &cobra.Command{
		Use: "history SERVICE", Short: "List the revisions of a service, newest first", Example: "  aloft history web", Args: exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := ask(cmd.Context(), a, clusterAPI.GetService, &pb.GetServiceRequest{Service: args[0]})
			if err != nil {
				return err
			}
			service := answer.GetService().GetService()
			request := &pb.ListRevisionsRequest{Service: args[0]}
			return show(cmd, a, request, list[pb.ListRevisionsRequest, pb.ListRevisionsResponse, *pb.Revision]{
				method: clusterAPI.ListRevisions, items: (*pb.ListRevisionsResponse).GetRevisions,
				head: "REVISION STATE CREATED RUNS REASON",
				row: func(r *pb.Revision) []string {
					return []string{
						number(r.GetNumber()), revisionState(service, r.GetNumber()), a.age(r.GetCreatedAt()),
						runText(r.GetSpec().GetRun()), r.GetReason(),
					}
				},
			})
		},
	}
}

// revisionState says what a revision is to its service.
func revisionState(s *pb.Service, revision int64) string {
	switch revision {
	case s.GetRevision():
		return "wanted"
	case s.GetLastGood():
		return "last good"
	default:
		return "-"
	}
}
