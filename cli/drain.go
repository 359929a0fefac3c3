package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// lookEvery is how often a command that follows what moves looks again.
const lookEvery = 300 * time.Millisecond

func (a *app) drain() *cobra.Command {
	request := &pb.DrainAgentRequest{}
	d := &draining{app: a}
	var deadline time.Duration
	var detach bool
	cmd := &cobra.Command{
		Use: "drain AGENT", Short: "Empty an agent: its services start elsewhere before they stop here",
		Long: "Empty an agent: its services start elsewhere before they stop here, its jobs may end, and its daemons leave last.\n" +
			"The command follows until the agent is empty. Ctrl-C ends the following, not the drain.\n\n" +
			"It is refused where a service would be left with too few instances because there is no room for them elsewhere.\n" +
			"With --force the agent is drained all the same: instances without another place stay until there is room, or,\n" +
			"with --deadline, stop then.",
		Example: "  aloft drain a1\n  aloft drain a1 --deadline 30m\n  aloft drain a1 --detach", Args: exactly("AGENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if deadline < 0 {
				return UsageError("--deadline: found %v; want a time that is not negative, such as 30m", deadline)
			}
			if d.timeout < 0 {
				return UsageError("--timeout: found %v; want a time that is not negative, such as 30m", d.timeout)
			}
			request.Agent, d.agent, d.began = args[0], args[0], a.cfg.Now()
			if deadline > 0 {
				request.Deadline = durationpb.New(deadline)
			}
			if detach {
				return call(cmd, a, clusterAPI.DrainAgent, request, say(cmd, func(r *pb.DrainAgentResponse) string {
					return missingText(r) + args[0] + ": draining; 'aloft agents' shows when it is empty, 'aloft undrain' takes it back"
				}))
			}
			answer, err := ask(cmd.Context(), a, clusterAPI.DrainAgent, request)
			if err != nil {
				return err
			}
			if !a.json {
				fmt.Fprint(cmd.OutOrStdout(), missingText(answer))
			}
			return d.run(cmd)
		},
	}
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "how long its jobs may go on (default: until they end)")
	cmd.Flags().BoolVar(&request.Force, "force", false, "drain it also where services are left with too few instances")
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the drain is accepted")
	cmd.Flags().DurationVar(&d.timeout, "timeout", 0, "how long to follow; then exit 1, and the drain goes on (default: until the agent is empty)")
	return cmd
}

// missingText says what a drain by force costs, a line for each service.
func missingText(r *pb.DrainAgentResponse) string {
	var text strings.Builder
	for _, missing := range r.GetMissing() {
		text.WriteString("by force: " + missing + "\n")
	}
	return text.String()
}

// draining follows the drain of an agent.
type draining struct {
	app     *app
	agent   string
	timeout time.Duration // 0 for none
	began   time.Time
	most    int // tasks that were there at one time
	shown   progress
}

// run follows until the agent is empty.
func (d *draining) run(cmd *cobra.Command) error {
	d.shown = d.app.newProgress(cmd.OutOrStdout(), 1)
	last, err := d.follow(cmd.Context())
	d.shown.close()
	if cmd.Context().Err() != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: the drain goes on; 'aloft agents' shows it, 'aloft undrain %s' takes it back\n", d.agent, d.agent)
		return &exitError{ExitInterrupted, nil}
	}
	if d.app.json && last != nil {
		return errors.Join(printJSON(cmd.OutOrStdout(), last), err)
	}
	return err
}

// follow looks again and again, also while the leader changes.
func (d *draining) follow(ctx context.Context) (last *pb.GetAgentResponse, err error) {
	var patience outage
	for {
		answer, err := d.look(ctx)
		switch {
		case err == nil:
			patience, last = outage{}, answer
			if done, err := d.seen(answer); done {
				return last, err
			}
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case patience.over(err):
			d.shown.end(0, d.agent+": lost sight of it", false)
			return last, d.app.advise(err)
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
	}
}

func (d *draining) look(ctx context.Context) (*pb.GetAgentResponse, error) {
	cluster, err := d.app.cluster()
	if err != nil {
		return nil, err
	}
	answer, err := cluster.GetAgent(ctx, connect.NewRequest(&pb.GetAgentRequest{Agent: d.agent}))
	if err != nil {
		return nil, err
	}
	return answer.Msg, nil
}

// seen shows how far the drain is. The error says why it will not be over.
func (d *draining) seen(now *pb.GetAgentResponse) (done bool, err error) {
	left, after := int(now.GetAgent().GetTasks()), d.app.cfg.Now().Sub(d.began)
	d.most = max(d.most, left)
	switch {
	case !now.GetAgent().GetAgent().GetDraining():
		d.shown.end(0, d.agent+": not drained, "+stopwatch(after), false)
		return true, &exitError{ExitFailed, fmt.Errorf("%s: somebody took it back with undrain", d.agent)}
	case left == 0:
		d.shown.end(0, fmt.Sprintf("%s: drained, %s", d.agent, stopwatch(after)), true)
		return true, nil
	case d.timeout > 0 && after >= d.timeout:
		d.shown.end(0, fmt.Sprintf("%s: not drained, %s", d.agent, stopwatch(after)), false)
		return true, &exitError{ExitFailed, fmt.Errorf("%s: not empty after %v: %s\nthe drain goes on; 'aloft undrain %s' takes it back",
			d.agent, d.timeout, residentsText(now.GetResidents()), d.agent)}
	}
	d.shown.step(0, step{
		service: d.agent, settled: d.most - left, wanted: d.most,
		instead: fmt.Sprintf("%d of %s left: %s", left, resource.Count(d.most, "task"), residentsText(now.GetResidents())),
	})
	return false, nil
}

// residentsText says what is still on an agent, and what it waits for.
func residentsText(residents []*pb.Resident) string {
	parts := make([]string, len(residents))
	for i, r := range residents {
		parts[i] = fmt.Sprintf("%s %d", r.GetService(), r.GetTasks())
		if r.GetWaiting() != "" {
			parts[i] += " (waits for " + r.GetWaiting() + ")"
		}
	}
	return strings.Join(parts, ", ")
}
