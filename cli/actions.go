package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// clusterAPI shortens the names of the API's methods below.
type clusterAPI = aloftv1connect.ClusterServiceClient

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no argument; found %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("%s takes at most one argument; found %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// exactlyOne wants one argument, and names it where it is missing.
func exactlyOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return usage("%s wants one %s; found %d arguments\nExample:\n%s", cmd.CommandPath(), name, len(args), cmd.Example)
		}
		return nil
	}
}

// say returns a function that prints a line about an answer.
func say[Res any](cmd *cobra.Command, text func(*Res) string) func(*Res) {
	return func(answer *Res) { fmt.Fprintln(cmd.OutOrStdout(), text(answer)) }
}

func (a *app) scale() *cobra.Command {
	request := &pb.ScaleRequest{}
	cmd := &cobra.Command{
		Use: "scale SERVICE INSTANCES", Short: "Set the number of instances of a service", Example: "  aloft scale web 8",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("%s wants a SERVICE and a number of INSTANCES; found %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			instances, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil {
				return usage("INSTANCES: found %q; want a whole number", args[1])
			}
			request.Service, request.Instances = args[0], int32(instances)
			return call(cmd, a, request, clusterAPI.Scale, say(cmd, func(r *pb.ScaleResponse) string {
				return fmt.Sprintf("%s: %d instances wanted", r.GetService().GetName(), r.GetService().GetInstances())
			}))
		},
	}
	versionFlag(cmd, &request.Version)
	return cmd
}

// versionFlag guards a write by the version that it is based on.
func versionFlag(cmd *cobra.Command, version *int64) {
	cmd.Flags().Int64Var(version, "if-version", 0, "refuse when the record is no longer at this version")
}

func (a *app) restart() *cobra.Command {
	request := &pb.RestartRequest{}
	cmd := &cobra.Command{
		Use: "restart SERVICE", Short: "Replace every instance of a service, start before stop", Example: "  aloft restart web", Args: exactlyOne("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = args[0]
			return call(cmd, a, request, clusterAPI.Restart, say(cmd, func(r *pb.RestartResponse) string {
				return r.GetService().GetName() + ": every instance is replaced, one after the other"
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
		Args: exactlyOne("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = args[0]
			return call(cmd, a, request, clusterAPI.Stop, say(cmd, func(r *pb.StopResponse) string {
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
		Use: "pause DEPLOYMENT", Short: "Hold a deployment where it is", Example: "  aloft pause web-3", Args: exactlyOne("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.PauseDeploymentRequest{Deployment: args[0]}, clusterAPI.PauseDeployment,
				say(cmd, func(*pb.PauseDeploymentResponse) string { return args[0] + ": paused" }))
		},
	}
}

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use: "resume DEPLOYMENT", Short: "Let a paused deployment go on", Example: "  aloft resume web-3", Args: exactlyOne("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.ResumeDeploymentRequest{Deployment: args[0]}, clusterAPI.ResumeDeployment,
				say(cmd, func(*pb.ResumeDeploymentResponse) string { return args[0] + ": goes on" }))
		},
	}
}

func (a *app) abort() *cobra.Command {
	return &cobra.Command{
		Use: "abort DEPLOYMENT", Short: "End a deployment and go back to the revision before", Example: "  aloft abort web-3", Args: exactlyOne("DEPLOYMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.AbortDeploymentRequest{Deployment: args[0]}, clusterAPI.AbortDeployment,
				say(cmd, func(r *pb.AbortDeploymentResponse) string {
					if r.GetDeployment() == "" {
						return args[0] + ": aborted"
					}
					return args[0] + ": aborted; " + r.GetDeployment() + " goes back"
				}))
		},
	}
}

func (a *app) drain() *cobra.Command {
	request := &pb.DrainAgentRequest{}
	var deadline time.Duration
	cmd := &cobra.Command{
		Use: "drain AGENT", Short: "Empty an agent: its services start elsewhere before they stop here",
		Example: "  aloft drain a1 --deadline 30m", Args: exactlyOne("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if deadline < 0 {
				return usage("--deadline: found %v; want a time that is not negative", deadline)
			}
			request.Agent = args[0]
			if deadline > 0 {
				request.Deadline = durationpb.New(deadline)
			}
			return call(cmd, a, request, clusterAPI.DrainAgent, say(cmd, func(*pb.DrainAgentResponse) string {
				return args[0] + ": draining; 'aloft agents' shows when it is empty, 'aloft undrain' takes it back"
			}))
		},
	}
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "how long its jobs may go on (default: until they end)")
	return cmd
}

func (a *app) undrain() *cobra.Command {
	return &cobra.Command{
		Use: "undrain AGENT", Short: "Let a drained agent take tasks again", Example: "  aloft undrain a1", Args: exactlyOne("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.UndrainAgentRequest{Agent: args[0]}, clusterAPI.UndrainAgent,
				say(cmd, func(*pb.UndrainAgentResponse) string { return args[0] + ": takes tasks again" }))
		},
	}
}

func (a *app) removeAgent() *cobra.Command {
	return &cobra.Command{
		Use: "remove AGENT", Short: "Forget an agent that is silent and has no tasks", Example: "  aloft agents remove a1", Args: exactlyOne("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.RemoveAgentRequest{Agent: args[0]}, clusterAPI.RemoveAgent,
				say(cmd, func(*pb.RemoveAgentResponse) string { return args[0] + ": forgotten" }))
		},
	}
}

func (a *app) capacity() *cobra.Command {
	return &cobra.Command{
		Use: "capacity", Short: "Show what the cluster has and what is free, by resource type", Example: "  aloft capacity", Args: noArguments,
		Long: "Show what the cluster has and what is free, by resource type.\n\nR is the weighted capacity: the sum over partitions of weight × available quantity.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, a, &pb.GetCapacityRequest{}, clusterAPI.GetCapacity, func(r *pb.GetCapacityResponse) {
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
		Example: "  aloft explain web", Args: exactlyOne("TASK or SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, a, &pb.ExplainRequest{Name: args[0]}, clusterAPI.Explain, say(cmd, func(r *pb.ExplainResponse) string {
				return strings.Join(r.GetLines(), "\n")
			}))
		},
	}
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program, and of the master it reaches", Example: "  aloft version", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			cluster, err := a.cluster()
			if err != nil {
				return err
			}
			info, err := cluster.GetInfo(cmd.Context(), newRequest(&pb.GetInfoRequest{}))
			known := versions{Client: a.cfg.Version}
			if err == nil { // without a master it is still an answer
				known.Master, known.Leader, known.Epoch = info.Msg.GetVersion(), info.Msg.GetMaster(), info.Msg.GetEpoch()
			}
			if a.json {
				return printJSON(out, known)
			}
			fmt.Fprintf(out, "aloft %s\n", known.Client)
			if known.Master == "" {
				fmt.Fprintln(out, "no master reached")
				return nil
			}
			fmt.Fprintf(out, "master %s: aloft %s, epoch %d\n", known.Leader, known.Master, known.Epoch)
			return nil
		},
	}
}

// versions is what version prints as JSON.
type versions struct {
	Client string `json:"client"`
	Master string `json:"master,omitempty"`
	Leader string `json:"leader,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
}
