package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (a *app) deploy() *cobra.Command {
	request := &pb.DeployRequest{}
	var detach, wait bool
	cmd := &cobra.Command{
		Use: "deploy FILE...", Short: "Make specs the wanted ones, and follow until they are in service",
		Long: "Make specs the wanted ones: every document of the files, or none.\n\n" +
			"The command follows the deployments and exits 0 when the new revision is in service, and 1 with the reason\n" +
			"and the last lines of output when it is not. It does not wait for jobs to end, unless --wait says so.\n" +
			"Ctrl-C ends the following, not the deployment.",
		Example: "  aloft deploy web.yaml\n  aloft deploy --detach web.yaml batch.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if detach && wait {
				return usage("--detach and --wait exclude each other")
			}
			files, _, err := a.checked(args)
			if err != nil {
				return err
			}
			request.Files = files
			return a.deployAndFollow(cmd, request, detach, wait)
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the deployment is accepted")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for jobs to end, too")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; shown by history")
	return cmd
}

func (a *app) deployAndFollow(cmd *cobra.Command, request *pb.DeployRequest, detach, wait bool) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	answer, err := cluster.Deploy(cmd.Context(), connect.NewRequest(request))
	if err != nil {
		return a.asked(err)
	}
	if detach {
		return a.showDeployed(cmd, answer.Msg)
	}
	followed := answer.Msg.GetServices()
	err = a.followAll(cmd, followed, wait)
	if a.json {
		return errors.Join(a.outcomeJSON(cmd, followed), err)
	}
	return err
}

// showDeployed says what was accepted.
func (a *app) showDeployed(cmd *cobra.Command, answer *pb.DeployResponse) error {
	if a.json {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	for _, d := range answer.GetServices() {
		fmt.Fprintln(cmd.OutOrStdout(), acceptedText(d))
	}
	return nil
}

func acceptedText(d *pb.DeployedService) string {
	switch {
	case !d.GetChanged():
		return fmt.Sprintf("%s: no change, revision %d", d.GetService(), d.GetRevision())
	case d.GetDeployment() == "":
		return fmt.Sprintf("%s: revision %d takes effect; no instance is replaced", d.GetService(), d.GetRevision())
	default:
		return fmt.Sprintf("%s: revision %d is deployed by %s", d.GetService(), d.GetRevision(), d.GetDeployment())
	}
}

// outcomeJSON prints the services as they are after the deployment.
func (a *app) outcomeJSON(cmd *cobra.Command, followed []*pb.DeployedService) error {
	cluster, err := a.cluster()
	if err != nil {
		return err
	}
	list := &pb.ListServicesResponse{}
	for _, d := range followed {
		view, err := cluster.GetService(context.WithoutCancel(cmd.Context()), connect.NewRequest(&pb.GetServiceRequest{Service: d.GetService()}))
		if err != nil {
			return a.asked(err)
		}
		list.Services = append(list.Services, view.Msg.GetService())
	}
	return printJSON(cmd.OutOrStdout(), list)
}

// followAll follows every deployment until each has ended, and shows how it
// goes.
func (a *app) followAll(cmd *cobra.Command, list []*pb.DeployedService, wait bool) error {
	shown := a.newProgress(cmd, len(list))
	problems := make([]error, len(list))
	var following sync.WaitGroup
	for i, d := range list {
		f := &tracker{deployed: d, wait: wait, row: i, began: time.Now(), shown: shown}
		following.Go(func() { problems[i] = f.run(cmd.Context(), a) })
	}
	following.Wait()
	shown.close()
	failed := errors.Join(problems...)
	if failed == nil {
		return nil
	}
	if cmd.Context().Err() != nil {
		return &exitError{ExitInterrupted, nil}
	}
	return failed
}

// tracker follows one deployment.
type tracker struct {
	deployed *pb.DeployedService
	wait     bool
	row      int
	began    time.Time
	shown    progress
}

// deployFailedError says that a deployment did not bring its revision into service.
type deployFailedError struct {
	text string
	logs []string
}

func (e *deployFailedError) Error() string {
	if len(e.logs) == 0 {
		return e.text
	}
	return e.text + "\nlast lines of output:\n  " + strings.Join(e.logs, "\n  ")
}

func (f *tracker) run(ctx context.Context, a *app) error {
	d := f.deployed
	if isJob := d.GetKind() == pb.SpecKind_SPEC_KIND_JOB; isJob && f.wait {
		return a.follow(ctx, d.GetService(), f.seenJob)
	} else if isJob || d.GetDeployment() == "" {
		f.shown.end(f.row, acceptedText(d), true)
		return nil
	}
	return a.follow(ctx, d.GetService(), f.seen)
}

// seen looks at the service after each change of it.
func (f *tracker) seen(now *situation) (done bool, err error) {
	d := now.deployments[f.deployed.GetDeployment()]
	if d == nil {
		return true, fmt.Errorf("%s: its deployment %s is gone", f.deployed.GetService(), f.deployed.GetDeployment())
	}
	took := time.Since(f.began).Round(10 * time.Millisecond)
	switch d.GetState() {
	case pb.DeploymentState_DEPLOYMENT_STATE_DONE:
		f.shown.end(f.row, fmt.Sprintf("%s: revision %d is in service, %d ready, %v", d.GetService(), d.GetTo(),
			now.count(0, pb.TaskState_TASK_STATE_READY), took), true)
		return true, nil
	case pb.DeploymentState_DEPLOYMENT_STATE_GOING, pb.DeploymentState_DEPLOYMENT_STATE_PAUSED, pb.DeploymentState_DEPLOYMENT_STATE_UNSPECIFIED:
		f.shown.step(f.row, stepOf(d, now))
		return false, nil
	case pb.DeploymentState_DEPLOYMENT_STATE_ROLLED_BACK:
		if back := now.deployments[now.service.GetDeployment()]; back != nil {
			f.shown.step(f.row, stepOf(back, now)) // the way back is shown to its end
			return false, nil
		}
	default:
	}
	return true, f.failed(d, now)
}

func (f *tracker) failed(d *pb.Deployment, now *situation) error {
	text := fmt.Sprintf("%s: revision %d is not in service: %s (%s)", d.GetService(), d.GetTo(), d.GetReason(), deploymentState(d.GetState()))
	if d.GetState() == pb.DeploymentState_DEPLOYMENT_STATE_ROLLED_BACK && now.service.GetRevision() > 0 {
		text += fmt.Sprintf("; revision %d serves, %d ready", now.service.GetRevision(), now.count(0, pb.TaskState_TASK_STATE_READY))
	}
	var logs []string
	if failure := d.GetFailure(); failure != nil {
		text += fmt.Sprintf("\n%s: %s", failure.GetTask(), exitText(failure.GetExit()))
		logs = failure.GetExit().GetLastLogs()
	}
	f.shown.end(f.row, fmt.Sprintf("%s: revision %d failed", d.GetService(), d.GetTo()), false)
	return &exitError{ExitFailed, &deployFailedError{text, logs}}
}

// stepOf sums up where a deployment is.
func stepOf(d *pb.Deployment, now *situation) step {
	wanted := int(now.service.GetInstances())
	s := step{
		service: d.GetService(), from: d.GetFrom(), to: d.GetTo(), settled: int(d.GetSettled()), wanted: wanted,
		ready: now.count(0, pb.TaskState_TASK_STATE_READY), waiting: now.waiting(),
	}
	if d.GetState() == pb.DeploymentState_DEPLOYMENT_STATE_PAUSED {
		s.waiting = "paused; 'aloft resume " + d.GetId() + "' goes on"
	}
	return s
}

// seenJob waits for the end of a job's run.
func (f *tracker) seenJob(now *situation) (done bool, err error) {
	name := f.deployed.GetService()
	if now.service.GetRun() > f.deployed.GetRun() {
		return true, &exitError{ExitFailed, fmt.Errorf("%s: a newer run took the place of this one", name)}
	}
	finished := now.count(0, pb.TaskState_TASK_STATE_FINISHED)
	switch now.service.GetResult() {
	case pb.JobResult_JOB_RESULT_SUCCEEDED:
		f.shown.end(f.row, fmt.Sprintf("%s: succeeded, %v", name, time.Since(f.began).Round(10*time.Millisecond)), true)
		return true, nil
	case pb.JobResult_JOB_RESULT_FAILED:
		f.shown.end(f.row, name+": failed", false)
		return true, &exitError{ExitFailed, jobFailure(name, now)}
	default:
		f.shown.step(f.row, step{service: name, settled: finished, wanted: int(now.service.GetInstances()), waiting: now.waiting()})
		return false, nil
	}
}

// jobFailure shows the newest task of a job that failed.
func jobFailure(name string, now *situation) error {
	var newest *pb.Task
	for _, t := range now.tasks {
		if t.GetStatus().GetState() != pb.TaskState_TASK_STATE_FAILED {
			continue
		}
		if newest == nil || newest.GetStatus().GetSince().AsTime().Before(t.GetStatus().GetSince().AsTime()) {
			newest = t
		}
	}
	if newest == nil {
		return fmt.Errorf("%s: failed", name)
	}
	last := newest.GetStatus().GetLast()
	return &deployFailedError{fmt.Sprintf("%s: %s: %s", name, newest.GetId(), exitText(last)), last.GetLastLogs()}
}

func (a *app) rollback() *cobra.Command {
	request := &pb.RollbackRequest{}
	var detach bool
	cmd := &cobra.Command{
		Use: "rollback SERVICE", Short: "Deploy an earlier revision again", Example: "  aloft rollback web\n  aloft rollback web --to 3", Args: exactlyOne("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Service = args[0]
			cluster, err := a.cluster()
			if err != nil {
				return err
			}
			answer, err := cluster.Rollback(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return a.asked(err)
			}
			list := []*pb.DeployedService{answer.Msg.GetService()}
			if detach {
				return a.showDeployed(cmd, &pb.DeployResponse{Services: list})
			}
			err = a.followAll(cmd, list, false)
			if a.json {
				return errors.Join(a.outcomeJSON(cmd, list), err)
			}
			return err
		},
	}
	cmd.Flags().Int64Var(&request.To, "to", 0, "the revision to deploy (default: the last good one before the wanted one)")
	cmd.Flags().BoolVar(&detach, "detach", false, "return once the deployment is accepted")
	versionFlag(cmd, &request.Version)
	return cmd
}
