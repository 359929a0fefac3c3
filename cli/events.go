package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// eventsEvery is how often events -f looks for more.
const eventsEvery = 250 * time.Millisecond

func (a *app) events() *cobra.Command {
	var follow bool
	t := &teller{app: a, request: &pb.ListNotesRequest{PageSize: pageSize}}
	cmd := &cobra.Command{
		Use: "events", Short: "Tell what happened in the cluster, newest last",
		Example: "  aloft events\n  aloft events -f --service web", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return t.follow(cmd)
			}
			return t.tell(cmd)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().StringVar(&t.request.Service, "service", "", "only of this service")
	return cmd
}

// teller prints notes, each once.
type teller struct {
	app     *app
	request *pb.ListNotesRequest // for those after the last one printed
	epoch   uint64               // of the leader that numbers them
	told    bool                 // everything was printed once
}

// follow tells what comes until the command is interrupted. A leader that is
// away for a while is waited for.
func (t *teller) follow(cmd *cobra.Command) error {
	var patience outage
	for {
		err := t.tell(cmd)
		if err != nil && (t.epoch == 0 || patience.over(err)) {
			return err
		}
		if err == nil {
			patience = outage{}
		}
		select {
		case <-time.After(eventsEvery):
		case <-cmd.Context().Done():
			return context.Cause(cmd.Context())
		}
	}
}

// tell prints all notes that there are and were not printed.
func (t *teller) tell(cmd *cobra.Command) error {
	info, err := ask(cmd.Context(), t.app, clusterAPI.GetInfo, &pb.GetInfoRequest{})
	if err != nil {
		return err
	}
	if info.GetEpoch() != t.epoch {
		t.epoch, t.request.After = info.GetEpoch(), 0 // each leader numbers its own
	}
	for {
		answer, err := ask(cmd.Context(), t.app, clusterAPI.ListNotes, t.request)
		if t.told && isNotFound(err) {
			return nil // the service is gone, and a new leader has nothing to tell of it
		}
		if err != nil {
			return err
		}
		for _, n := range answer.GetNotes() {
			t.request.After = n.GetSeq()
			if err := t.print(cmd, n); err != nil {
				return err
			}
		}
		if len(answer.GetNotes()) < pageSize {
			t.told = true
			return nil
		}
	}
}

func (t *teller) print(cmd *cobra.Command, n *pb.Note) error {
	out := cmd.OutOrStdout()
	if t.app.json {
		return printLineJSON(out, n)
	}
	at := n.GetAt().AsTime().In(t.app.cfg.Now().Location()).Format("2006-01-02 15:04:05.000")
	text := fmt.Sprintf("%s  %-22s  %-20s  %s", at, n.GetKind(), subject(n), n.GetText())
	_, err := fmt.Fprintln(out, strings.TrimRight(text, " "))
	return err
}

// subject names what a note is about, as closely as it says.
func subject(n *pb.Note) string {
	return cmp.Or(n.GetTask(), n.GetDeployment(), n.GetService(), n.GetAgent(), n.GetPool(), "-")
}
