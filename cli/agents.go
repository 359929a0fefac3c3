package cli

import (
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) undrain() *cobra.Command {
	return &cobra.Command{
		Use: "undrain AGENT", Short: "Let a drained agent take tasks again", Example: "  aloft undrain a1", Args: exactly("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.UndrainAgent, &pb.UndrainAgentRequest{Agent: args[0]},
				say(cmd, func(*pb.UndrainAgentResponse) string { return args[0] + ": takes tasks again" }))
		},
	}
}

func (a *app) removeAgent() *cobra.Command {
	return &cobra.Command{
		Use: "remove AGENT", Short: "Forget an agent that is silent and has no tasks", Example: "  aloft agents remove a1", Args: exactly("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.RemoveAgent, &pb.RemoveAgentRequest{Agent: args[0]},
				say(cmd, func(*pb.RemoveAgentResponse) string { return args[0] + ": forgotten" }))
		},
	}
}
