package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) deploy() *cobra.Command {
	request := &pb.DeployRequest{}
	var detach, wait bool
	cmd := &cobra.Command{
		Use: "deploy FILE...", Short: "Make specs the wanted ones, and follow until they are in service",
		Long: "Make specs the wanted ones: every document of the files, or none.\n\n" +
			"The command follows the deployments and exits 0 when the new revisions are in service, and 1 with the reason\n" +
			"and the last lines of output when one is not. It does not wait for jobs to end, unless --wait says so.\n" +
			"Ctrl-C ends the following, not the deployment.",
		Example: "  aloft deploy web.yaml\n  aloft deploy --wait batch.yaml\n  aloft deploy --detach web.yaml batch.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if detach && wait {
				return UsageError("--detach and --wait exclude each other")
			}
			files, _, err := a.checked(args)
			if err != nil {
				return err
			}
			request.Files = files
			f := &following{app: a, detach: detach, wait: wait, stopwatch: a.startStopwatch()}
			answer, err := ask(cmd.Context(), a, clusterAPI.Deploy, request)
			if err != nil {
				return err
			}
			return f.end(cmd, answer.GetServices())
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the deployment is accepted")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for jobs to end, too")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; shown by history")
	return cmd
}

func (a *app) rollback() *cobra.Command {
	request := &pb.RollbackRequest{}
	var detach bool
	cmd := &cobra.Command{
		Use: "rollback SERVICE", Short: "Deploy an earlier revision again", Example: "  aloft rollback web\n  aloft rollback web --to 3",
		Args: exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.GetTo() < 0 {
				return UsageError("--to: found %d; want the number of a revision, as in 'aloft history %s'", request.GetTo(), args[0])
			}
			request.Service = args[0]
			f := &following{app: a, detach: detach, stopwatch: a.startStopwatch()}
			answer, err := ask(cmd.Context(), a, clusterAPI.Rollback, request)
			if err != nil {
				return err
			}
			return f.end(cmd, []*pb.DeployedService{answer.GetService()})
		},
	}
	cmd.Flags().Int64Var(&request.To, "to", 0, "the revision to deploy (default: the last good one before the wanted one)")
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the deployment is accepted")
	versionFlag(cmd, &request.Version)
	return cmd
}

// following is how a command goes on once its deployments are accepted.
type following struct {
	app       *app
	detach    bool
	wait      bool
	stopwatch func() string // the time since the submission
}

func (a *app) startStopwatch() func() string {
	began := a.cfg.Now()
	return func() string { return stopwatch(a.cfg.Now().Sub(began)) }
}

// end says what was accepted, or follows it to its end.
func (f *following) end(cmd *cobra.Command, accepted []*pb.DeployedService) error {
	if f.detach && f.app.json {
		return printJSON(cmd.OutOrStdout(), &pb.DeployResponse{Services: accepted})
	}
	if f.detach {
		for _, d := range accepted {
			fmt.Fprintln(cmd.OutOrStdout(), acceptedText(d))
		}
		return nil
	}
	failed := f.followAll(cmd, accepted)
	if f.app.json {
		return errors.Join(f.outcome(cmd, accepted), failed)
	}
	return failed
}

// acceptedText says what becomes of a spec that was deployed.
func acceptedText(d *pb.DeployedService) string {
	name, revision := d.GetService(), d.GetRevision()
	switch {
	case !d.GetChanged():
		return fmt.Sprintf("%s: no change, revision %d", name, revision)
	case d.GetKind() == pb.SpecKind_SPEC_KIND_JOB:
		return fmt.Sprintf("%s: run %d of revision %d has begun; 'aloft logs -f %s' shows its output", name, d.GetRun(), revision, name)
	case d.GetKind() == pb.SpecKind_SPEC_KIND_CRON:
		return fmt.Sprintf("%s: revision %d runs by its schedule; 'aloft status %s' shows when", name, revision, name)
	case d.GetDeployment() == "":
		return fmt.Sprintf("%s: revision %d takes effect; no instance is replaced", name, revision)
	default:
		return fmt.Sprintf("%s: revision %d is deployed by %s", name, revision, d.GetDeployment())
	}
}

// followAll follows every deployment until each has ended, and shows how it
// goes.
func (f *following) followAll(cmd *cobra.Command, accepted []*pb.DeployedService) error {
	shown := f.app.newProgress(cmd.OutOrStdout(), len(accepted))
	problems := make([]error, len(accepted))
	var trackers sync.WaitGroup
	for i, d := range accepted {
		t := &tracker{deployed: d, wait: f.wait, row: i, stopwatch: f.stopwatch, shown: shown}
		trackers.Go(func() { problems[i] = t.run(cmd.Context(), f.app) })
	}
	trackers.Wait()
	shown.close()
	if cmd.Context().Err() != nil {
		for _, d := range accepted {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: what was deployed goes on; 'aloft status %s' shows it\n", d.GetService(), d.GetService())
		}
		return &exitError{ExitInterrupted, nil}
	}
	return joined(problems)
}

// joined returns the problems as one error. Its exit code is that of a failure
// when there are several.
func joined(problems []error) error {
	var found []error
	for _, err := range problems {
		if err != nil {
			found = append(found, err)
		}
	}
	if len(found) < 2 {
		return errors.Join(found...)
	}
	return &exitError{ExitFailed, errors.Join(found...)}
}

// outcome prints the services as they are after the deployment.
func (f *following) outcome(cmd *cobra.Command, accepted []*pb.DeployedService) error {
	list := &pb.ListServicesResponse{}
	for _, d := range accepted {
		ctx := context.WithoutCancel(cmd.Context())
		answer, err := ask(ctx, f.app, clusterAPI.GetService, &pb.GetServiceRequest{Service: d.GetService()})
		if err != nil {
			return err
		}
		list.Services = append(list.Services, answer.GetService())
	}
	return printJSON(cmd.OutOrStdout(), list)
}
