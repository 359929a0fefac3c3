package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// abortWithin bounds how long an interrupted rebalance tries to take back its moves.
const abortWithin = 10 * time.Second

func (a *app) rebalance() *cobra.Command {
	request := &pb.RebalanceRequest{}
	var detach bool
	cmd := &cobra.Command{
		Use: "rebalance [SERVICE...]", Short: "Move instances so that services are spread more evenly, as when a machine is back",
		Long: "Move instances so that services are spread more evenly: over what their placement.spread names, then over hosts,\n" +
			"then over agents. Each starts on its new agent and settles before it stops on the old one, a few at a time,\n" +
			"within the surge of its service. Services that are not settled are left as they are.\n\n" +
			"The command follows to the end, and exits 1 when a move came to nothing. Ctrl-C takes back what is not over.",
		Example: "  aloft rebalance --dry-run\n  aloft rebalance --moves 3 web\n  aloft rebalance --detach",
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.GetMoves() < 1 {
				return UsageError("--moves: found %d; want a number from 1", request.GetMoves())
			}
			if detach && request.GetDryRun() {
				return UsageError("--detach and --dry-run exclude each other")
			}
			request.Services = args
			m := &moving{app: a, began: a.cfg.Now()}
			answer, err := ask(cmd.Context(), a, clusterAPI.Rebalance, request)
			if err != nil {
				return err
			}
			last := detach || request.GetDryRun() || len(answer.GetMoves()) == 0
			if a.json && last {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			if !a.json {
				showMoves(cmd.OutOrStdout(), answer)
			}
			if last {
				return nil
			}
			return m.run(cmd, answer)
		},
	}
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "only show what would be moved")
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the moves are accepted")
	cmd.Flags().Int32Var(&request.Moves, "moves", 10, "how many instances may move, of all services together")
	return cmd
}

// showMoves prints the moves of a rebalance, and what it leaves as it is.
func showMoves(w io.Writer, r *pb.RebalanceResponse) {
	var rows [][]string
	for _, m := range r.GetMoves() {
		rows = append(rows, []string{m.GetTask(), m.GetFrom(), m.GetTo(), m.GetWhy()})
	}
	if len(rows) > 0 {
		table(w, "TASK FROM TO WHY", rows)
	} else {
		fmt.Fprintln(w, "nothing to move: no move would spread a service more evenly")
	}
	for _, s := range r.GetSkipped() {
		fmt.Fprintf(w, "%s: left as it is: %s\n", s.GetService(), s.GetWhy())
	}
	if r.GetMore() {
		fmt.Fprintln(w, "more moves would help; --moves says how many may be made")
	}
}

// moving follows the moves of a rebalance.
type moving struct {
	app   *app
	began time.Time
	shown progress
}

// run follows until every move has come to an end. Ctrl-C takes the moves back.
func (m *moving) run(cmd *cobra.Command, planned *pb.RebalanceResponse) error {
	m.shown = m.app.newProgress(cmd.OutOrStdout(), 1)
	last, err := m.follow(cmd.Context(), planned)
	m.shown.close()
	if cmd.Context().Err() != nil {
		return m.abort(cmd, planned)
	}
	if m.app.json && last != nil {
		return errors.Join(printJSON(cmd.OutOrStdout(), last), err)
	}
	return err
}

// abort takes back the moves that are not over.
func (m *moving) abort(cmd *cobra.Command, planned *pb.RebalanceResponse) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), abortWithin)
	defer cancel()
	request := &pb.AbortMovesRequest{}
	for _, move := range planned.GetMoves() {
		request.Services = append(request.Services, move.GetService())
	}
	slices.Sort(request.GetServices())
	request.Services = slices.Compact(request.GetServices())
	if _, err := ask(ctx, m.app, clusterAPI.AbortMoves, request); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "the moves go on, for they could not be taken back: %s\n", messageOf(err))
	} else {
		fmt.Fprintln(cmd.ErrOrStderr(), "the moves that were not over are taken back; those that were stay")
	}
	return &exitError{ExitInterrupted, nil}
}

// follow looks again and again, also while the leader changes.
func (m *moving) follow(ctx context.Context, planned *pb.RebalanceResponse) (last *pb.ListMovesResponse, err error) {
	request := &pb.ListMovesRequest{}
	for _, move := range planned.GetMoves() {
		request.Tasks = append(request.Tasks, move.GetTask())
	}
	var patience outage
	for {
		answer, err := m.look(ctx, request)
		switch {
		case err == nil:
			patience, last = outage{}, answer
			if done, err := m.seen(answer.GetMoves()); done {
				return last, err
			}
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case patience.over(err):
			m.shown.end(0, "rebalance: lost sight of it", false)
			return last, m.app.advise(err)
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
	}
}

func (m *moving) look(ctx context.Context, request *pb.ListMovesRequest) (*pb.ListMovesResponse, error) {
	cluster, err := m.app.cluster()
	if err != nil {
		return nil, err
	}
	answer, err := cluster.ListMoves(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	return answer.Msg, nil
}

// seen shows how far the moves are. The error says which came to nothing.
func (m *moving) seen(moves []*pb.Move) (done bool, err error) {
	var ended, made int
	var problems []error
	var now strings.Builder
	for _, move := range moves {
		switch move.GetState() {
		case pb.MoveState_MOVE_STATE_DONE:
			ended, made = ended+1, made+1
		case pb.MoveState_MOVE_STATE_GIVEN_UP, pb.MoveState_MOVE_STATE_LOST:
			ended++
			problems = append(problems, fmt.Errorf("%s did not move; 'aloft events --service %s' says why", move.GetTask(), move.GetService()))
		case pb.MoveState_MOVE_STATE_STARTS:
			fmt.Fprintf(&now, "; %s to %s starts", move.GetTask(), move.GetTo())
		case pb.MoveState_MOVE_STATE_SETTLES:
			fmt.Fprintf(&now, "; %s to %s settles", move.GetTask(), move.GetTo())
		case pb.MoveState_MOVE_STATE_LEAVES:
			fmt.Fprintf(&now, "; %s to %s leaves", move.GetTask(), move.GetTo())
		default:
		}
	}
	if ended < len(moves) {
		m.shown.step(0, step{
			service: "rebalance", settled: ended, wanted: len(moves),
			instead: fmt.Sprintf("%d of %s over%s", ended, resource.Count(len(moves), "move"), now.String()),
		})
		return false, nil
	}
	took := stopwatch(m.app.cfg.Now().Sub(m.began))
	m.shown.end(0, fmt.Sprintf("rebalance: %d of %s made, %s", made, resource.Count(len(moves), "move"), took), len(problems) == 0)
	if len(problems) > 0 {
		return true, &exitError{ExitFailed, errors.Join(problems...)}
	}
	return true, nil
}
