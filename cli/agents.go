package cli

import (
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) drain() *cobra.Command {
	request := &pb.DrainAgentRequest{}
	var deadline time.Duration
	cmd := &cobra.Command{
		Use: "drain AGENT", Short: "Empty an agent: its services start elsewhere before they stop here",
		Example: "  aloft drain a1\n  aloft drain a1 --deadline 30m", Args: exactly("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if deadline < 0 {
				return UsageError("--deadline: found %v; want a time that is not negative, such as 30m", deadline)
			}
			request.Agent = args[0]
			if deadline > 0 {
				request.Deadline = durationpb.New(deadline)
			}
			return call(cmd, a, clusterAPI.DrainAgent, request, say(cmd, func(*pb.DrainAgentResponse) string {
				return args[0] + ": draining; 'aloft agents' shows when it is empty, 'aloft undrain' takes it back"
			}))
		},
	}
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "how long its jobs may go on (default: until they end)")
	return cmd
}

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
