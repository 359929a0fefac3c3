package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) listMasters() *cobra.Command {
	cmd := &cobra.Command{
		Use: "masters", Short: "List the masters, and have another one lead", Example: "  aloft masters\n  aloft masters transfer", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.ListMasters, &pb.ListMastersRequest{}, func(r *pb.ListMastersResponse) {
				var rows [][]string
				for _, m := range r.GetMasters() {
					role := "standby"
					if m.GetLeading() {
						role = "leader"
					}
					rows = append(rows, []string{m.GetId(), role, orDash(m.GetAddress()), m.GetVersion(), a.age(m.GetStartedAt())})
				}
				table(cmd.OutOrStdout(), "MASTER ROLE ADDRESS VERSION UP", rows)
			})
		},
	}
	cmd.AddCommand(a.transferLeadership())
	return cmd
}

func (a *app) transferLeadership() *cobra.Command {
	return &cobra.Command{
		Use: "transfer", Short: "Have another master lead, as before work on the machine of this one", Example: "  aloft masters transfer",
		Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.TransferLeadership, &pb.TransferLeadershipRequest{},
				say(cmd, func(r *pb.TransferLeadershipResponse) string {
					return fmt.Sprintf("%s leads, in place of %s", r.GetTo(), r.GetFrom())
				}))
		},
	}
}
