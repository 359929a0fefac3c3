package cli

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

func newRequest[M any](m *M) *connect.Request[M] { return connect.NewRequest(m) }

func (a *app) pools() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pools", Short: "List pools; create, change and delete them",
		Example: "  aloft pools\n  aloft pools create web --quantity cpus=8 --quantity mem=16GiB --priority 10",
		Args:    noArguments, RunE: func(cmd *cobra.Command, _ []string) error { return a.listPools(cmd) },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List pools", Example: "  aloft pools list", Args: noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listPools(cmd) },
		},
		a.setPool("create POOL", "Make a pool", true),
		a.setPool("set POOL", "Change a pool, or make it; what is not named is no longer bounded", false),
		a.deletePool(),
	)
	return cmd
}

func (a *app) listPools(cmd *cobra.Command) error {
	list := &pb.ListPoolsResponse{}
	err := a.pages(cmd, func(ctx context.Context, c aloftv1connect.ClusterServiceClient, token string) (string, error) {
		page, err := c.ListPools(ctx, newRequest(&pb.ListPoolsRequest{PageSize: pageSize, PageToken: token}))
		if err != nil {
			return "", err
		}
		list.Pools = append(list.Pools, page.Msg.GetPools()...)
		return page.Msg.GetNextPageToken(), nil
	})
	if err != nil || a.json {
		return a.orJSON(cmd, list, err)
	}
	var rows [][]string
	for _, v := range list.GetPools() {
		note := ""
		if len(v.GetOvercommitted()) > 0 {
			note = "overcommitted: " + strings.Join(v.GetOvercommitted(), ", ") + "; nothing starts, nothing is stopped"
		}
		rows = append(rows, []string{
			v.GetPool().GetId(), number(v.GetPool().GetPriority()), quantities(v.GetPool().GetQuantities()),
			quantities(v.GetClaimed()), quantities(v.GetFree()), note,
		})
	}
	table(cmd.OutOrStdout(), "POOL PRIORITY QUANTITY CLAIMED FREE NOTE", rows)
	return nil
}

func (a *app) setPool(use, short string, create bool) *cobra.Command {
	request := &pb.SetPoolRequest{Pool: &pb.Pool{}, Create: create}
	var amounts []string
	verb := strings.Fields(use)[0]
	cmd := &cobra.Command{
		Use: use, Short: short, Example: "  aloft pools " + verb + " web --quantity cpus=8,mem=16GiB --priority 10", Args: exactlyOne("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			quantities, err := parseAmounts(amounts)
			if err != nil {
				return err
			}
			request.Pool.Id, request.Pool.Quantities = args[0], quantities
			return call(cmd, a, request, clusterAPI.SetPool, say(cmd, func(r *pb.SetPoolResponse) string {
				return r.GetPool().GetId() + ": " + describePool(r.GetPool())
			}))
		},
	}
	cmd.Flags().StringSliceVar(&amounts, "quantity", nil, "type=amount, such as cpus=8 or mem=16GiB; may be given several times")
	cmd.Flags().Int32Var(&request.Pool.Priority, "priority", 0, "of several pools with room, the highest gives")
	versionFlag(cmd, &request.Pool.Version)
	return cmd
}

func describePool(p *pb.Pool) string {
	if len(p.GetQuantities()) == 0 {
		return "not bounded, priority " + number(p.GetPriority())
	}
	return quantities(p.GetQuantities()) + ", priority " + number(p.GetPriority())
}

// parseAmounts reads type=amount pairs.
func parseAmounts(pairs []string) ([]*pb.Quantity, error) {
	items := make([]resource.Item, 0, len(pairs))
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usage("--quantity: found %q; want type=amount, such as cpus=8", pair)
		}
		amount, err := resource.Parse(resource.Type(name), text)
		if err != nil {
			return nil, usage("--quantity: %w", err)
		}
		items = append(items, resource.Item{Type: resource.Type(name), Quantity: amount})
	}
	vector, err := resource.NewVector(items...)
	if err != nil {
		return nil, usage("--quantity: %w", err)
	}
	return wire.FromVector(vector), nil
}

func (a *app) deletePool() *cobra.Command {
	request := &pb.DeletePoolRequest{}
	cmd := &cobra.Command{
		Use: "delete POOL", Short: "Delete a pool that nobody draws from", Example: "  aloft pools delete web", Args: exactlyOne("POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Pool = args[0]
			return call(cmd, a, request, clusterAPI.DeletePool, say(cmd, func(*pb.DeletePoolResponse) string { return args[0] + ": deleted" }))
		},
	}
	versionFlag(cmd, &request.Version)
	return cmd
}

// weight prints thousandths as a plain number.
func weight(thousandths int64) string {
	return resource.Format(resource.CPUs, resource.Scalar(thousandths))
}
