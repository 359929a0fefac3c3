package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// completeWithin bounds the wait of a shell for names.
const completeWithin = 2 * time.Second

// names lists what there is to name on a command line; nothing where no master
// answers.
type names func(context.Context, *app) []string

// complete has the shell complete a command's first argument, and no more.
func (a *app) complete(list names, cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		return list(ctx, a), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func serviceNames(ctx context.Context, a *app) []string {
	all, _ := pages(ctx, a, clusterAPI.ListServices, &pb.ListServicesRequest{})
	return namesOf(all.GetServices(), func(v *pb.ServiceView) string { return v.GetService().GetName() })
}

func deploymentNames(ctx context.Context, a *app) []string {
	all, _ := pages(ctx, a, clusterAPI.ListDeployments, &pb.ListDeploymentsRequest{})
	return namesOf(all.GetDeployments(), func(d *pb.Deployment) string {
		if d.GetEndedAt() != nil {
			return ""
		}
		return d.GetId()
	})
}

func agentNames(ctx context.Context, a *app) []string {
	all, _ := pages(ctx, a, clusterAPI.ListAgents, &pb.ListAgentsRequest{})
	return namesOf(all.GetAgents(), func(v *pb.AgentView) string { return v.GetAgent().GetId() })
}

func poolNames(ctx context.Context, a *app) []string {
	all, _ := pages(ctx, a, clusterAPI.ListPools, &pb.ListPoolsRequest{})
	return namesOf(all.GetPools(), func(v *pb.PoolView) string { return v.GetPool().GetId() })
}

// namesOf returns the names of items; one without a name is left out.
func namesOf[Item any](items []Item, name func(Item) string) []string {
	var list []string
	for _, item := range items {
		if n := name(item); n != "" {
			list = append(list, n)
		}
	}
	return list
}
