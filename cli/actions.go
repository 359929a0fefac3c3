package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// say returns a function that prints a line about an answer.
func say[Res any](cmd *cobra.Command, text func(*Res) string) func(*Res) {
	return func(answer *Res) { fmt.Fprintln(cmd.OutOrStdout(), text(answer)) }
}

// versionFlag guards a write by the version that it is based on.
func versionFlag(cmd *cobra.Command, version *int64) {
	cmd.Flags().Int64Var(version, "if-version", 0, "refuse when the record is no longer at this version")
}

func (a *app) scale() *cobra.Command {
	request := &pb.ScaleRequest{}
	cmd := &cobra.Command{
		Use: "scale SERVICE INSTANCES", Short: "Set the number of instances of a service", Example: "  aloft scale web 8",
		Args: exactly("SERVICE", "INSTANCES"),
		RunE: func(cmd *cobra.Command, args []string) error {
			instances, err := strconv.ParseUint(args[1], 10, 31)
			if err != nil {
				return UsageError("INSTANCES: found %q; want a whole number from 0", args[1])
			}
			request.Service, request.Instances = args[0], new(int32(instances))
			return call(cmd, a, clusterAPI.Scale, request, say(cmd, func(r *pb.ScaleResponse) string {
				return fmt.Sprintf("%s: %s wanted", r.GetService().GetName(), resource.Count(int(r.GetService().GetInstances()), "instance"))
			}))
		},
	}
	versionFlag(cmd, &request.Version)
	return cmd
}

func (a *app) restart() *cobra.Command {
	request := &pb.RestartRequest{}
	cmd := &cobra.Command{
		Use: "restart SERVICE", Short: "Replace every instance of a service, start before stop", Example: "  aloft restart web",
		Args: exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = args[0]
			return call(cmd, a, clusterAPI.Restart, request, say(cmd, func(r *pb.RestartResponse) string {
				return r.GetService().GetName() + ": every instance is replaced, one after the other; 'aloft status' shows how far it is"
			}))
		},
	}
	versionFlag(cmd, &request.Version)
	return cmd
}

func (a *app) stop() *cobra.Command {
	request := &pb.StopRequest{}
	cmd := &cobra.Command{
		Use: "stop SERVICE", Short: "Stop every task of a service and keep its history", Example: "  aloft stop web\n  aloft stop web --remove",
		Args: exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = args[0]
			return call(cmd, a, clusterAPI.Stop, request, say(cmd, func(r *pb.StopResponse) string {
				if request.GetRemove() {
					return r.GetService().GetName() + ": stopping; it is forgotten once its last task has ended"
				}
				return r.GetService().GetName() + ": stopping; 'aloft deploy' or 'aloft rollback' starts it again"
			}))
		},
	}
	cmd.Flags().BoolVar(&request.Remove, "remove", false, "forget it, with its history, once its last task has ended")
	versionFlag(cmd, &request.Version)
	return cmd
}

func (a *app) pause() *cobra.Command {
	return &cobra.Command{
		Use: "pause DEPLOYMENT", Short: "Hold a deployment where it is", Example: "  aloft pause web-3", Args: exactly("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.PauseDeployment, &pb.PauseDeploymentRequest{Deployment: args[0]},
				say(cmd, func(*pb.PauseDeploymentResponse) string { return args[0] + ": paused; 'aloft resume' lets it go on" }))
		},
	}
}

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use: "resume DEPLOYMENT", Short: "Let a paused deployment go on", Example: "  aloft resume web-3", Args: exactly("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.ResumeDeployment, &pb.ResumeDeploymentRequest{Deployment: args[0]},
				say(cmd, func(*pb.ResumeDeploymentResponse) string { return args[0] + ": goes on" }))
		},
	}
}

func (a *app) abort() *cobra.Command {
	return &cobra.Command{
		Use: "abort DEPLOYMENT", Short: "End a deployment and go back to the revision before", Example: "  aloft abort web-3",
		Args: exactly("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.AbortDeployment, &pb.AbortDeploymentRequest{Deployment: args[0]},
				say(cmd, func(r *pb.AbortDeploymentResponse) string {
					if r.GetDeployment() == "" {
						return args[0] + ": aborted; there is no revision before it to go back to"
					}
					return args[0] + ": aborted; " + r.GetDeployment() + " goes back"
				}))
		},
	}
}

func (a *app) capacity() *cobra.Command {
	return &cobra.Command{
		Use: "capacity", Short: "Show what the cluster has and what is free, by resource type", Example: "  aloft capacity", Args: NoArguments,
		Long: "Show what the cluster has and what is free, by resource type.\n\nR is the weighted capacity: the sum over partitions of weight × available quantity.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, clusterAPI.GetCapacity, &pb.GetCapacityRequest{}, func(r *pb.GetCapacityResponse) {
				var rows [][]string
				for _, c := range r.GetTypes() {
					weighted := &pb.Quantity{Type: c.GetType(), Kind: pb.QuantityKind_QUANTITY_KIND_SCALAR, Scalar: int64(c.GetWeighted())}
					rows = append(rows, []string{c.GetType(), quantity(c.GetTotal()), quantity(c.GetFree()), quantity(weighted)})
				}
				table(cmd.OutOrStdout(), "TYPE TOTAL FREE R", rows)
			})
		},
	}
}

func (a *app) explain() *cobra.Command {
	return &cobra.Command{
		Use: "explain TASK|SERVICE", Short: "Say why it is pending, why it runs where it does, why it was restarted",
		Long: "Say why a task, or those of a service, is as it is. Of what waits for a place, --json has the place in the queue\n" +
			"and the expected start as fields of \"turn\", too.",
		Example: "  aloft explain web\n  aloft explain web-2-5", Args: exactly("TASK or SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, clusterAPI.Explain, &pb.ExplainRequest{Name: args[0]}, say(cmd, func(r *pb.ExplainResponse) string {
				return strings.Join(r.GetLines(), "\n")
			}))
		},
	}
}
