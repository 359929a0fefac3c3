package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// tracker follows what was deployed of one service.
type tracker struct {
	deployed  *pb.DeployedService
	wait      bool // for the end of a job
	row       int  // of the progress
	stopwatch func() string
	shown     progress
	served    map[string]bool // tasks that were ready at some time
}

// run follows to the end. The error says why the revision is not in service.
func (t *tracker) run(ctx context.Context, a *app) error {
	name := t.deployed.GetService()
	switch t.deployed.GetKind() {
	case pb.SpecKind_SPEC_KIND_JOB:
		if t.wait {
			return a.follow(ctx, name, t.seenJob)
		}
	case pb.SpecKind_SPEC_KIND_CRON:
	default:
		err := a.follow(ctx, name, t.seen)
		if failure, ok := errors.AsType[*deployFailedError](err); ok {
			failure.logs = append(failure.logs, a.outputOf(ctx, failure.silent)...)
		}
		return err
	}
	t.shown.end(t.row, acceptedText(t.deployed), true)
	return nil
}

// seen looks at a service after each change of it.
func (t *tracker) seen(now *situation) (done bool, err error) {
	t.noteReady(now)
	d := now.deployments[t.deployed.GetDeployment()]
	if t.deployed.GetDeployment() == "" { // one may have been on the way already
		if d = now.running(); d == nil {
			t.shown.end(t.row, acceptedText(t.deployed), true)
			return true, nil
		}
		t.deployed.Deployment = d.GetId()
	}
	switch d.GetState() {
	case pb.DeploymentState_DEPLOYMENT_STATE_UNSPECIFIED:
		return true, t.fail(nil, fmt.Sprintf("its deployment %s is gone", t.deployed.GetDeployment()), now)
	case pb.DeploymentState_DEPLOYMENT_STATE_GOING:
		t.shown.step(t.row, stepOf(d, now))
		return false, nil
	case pb.DeploymentState_DEPLOYMENT_STATE_DONE:
		t.shown.end(t.row, fmt.Sprintf("%s: revision %d is in service, %d ready, %s", d.GetService(), d.GetTo(), now.ready(), t.stopwatch()), true)
		return true, nil
	case pb.DeploymentState_DEPLOYMENT_STATE_ROLLED_BACK, pb.DeploymentState_DEPLOYMENT_STATE_ABORTED:
		if back := now.running(); back.GetAutomatic() {
			t.shown.step(t.row, stepOf(back, now)) // the way back is shown to its end
			return false, nil
		}
	default:
	}
	return true, t.fail(d, endText(d, now), now)
}

// noteReady keeps which tasks got ready: what they wrote does not tell why a
// deployment failed, and once they have ended nothing says so any more.
func (t *tracker) noteReady(now *situation) {
	if t.served == nil {
		t.served = make(map[string]bool)
	}
	for name, seen := range now.tasks {
		if seen.GetStatus().GetReadySince() != nil || seen.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY {
			t.served[name] = true
		}
	}
}

// stepOf sums up where a deployment is.
func stepOf(d *pb.Deployment, now *situation) step {
	return step{
		service: d.GetService(), from: d.GetFrom(), to: d.GetTo(), settled: int(d.GetSettled()), wanted: now.wanted(),
		ready: now.ready(), waiting: now.waiting(),
	}
}

// endText says how a deployment ended that did not bring its revision into
// service, and what serves now.
func endText(d *pb.Deployment, now *situation) string {
	text := d.GetReason()
	serves := fmt.Sprintf("revision %d serves, %d ready", now.service.GetRevision(), now.ready())
	switch d.GetState() {
	case pb.DeploymentState_DEPLOYMENT_STATE_PAUSED:
		return fmt.Sprintf("%s is paused: %s\n'aloft resume %s' lets it go on, 'aloft abort %s' goes back", d.GetId(), text, d.GetId(), d.GetId())
	case pb.DeploymentState_DEPLOYMENT_STATE_SUPERSEDED:
		return "it is superseded: " + text
	case pb.DeploymentState_DEPLOYMENT_STATE_FAILED:
		return text + "\nit is left as it is: " + serves
	default:
	}
	if d.GetFromStopped() && now.service.GetStopped() {
		return text + "\nthe service is stopped, as it was before"
	}
	if now.service.GetRevision() == 0 {
		return text + "\nthere is no revision before it to go back to; nothing of it is left running"
	}
	return text + "\nrolled back: " + serves
}

// fail ends the row of a deployment that did not do what was asked.
func (t *tracker) fail(d *pb.Deployment, text string, now *situation) error {
	name, revision := t.deployed.GetService(), t.deployed.GetRevision()
	if d != nil {
		revision = d.GetTo()
	}
	t.shown.end(t.row, fmt.Sprintf("%s: revision %d is not in service, %s", name, revision, t.stopwatch()), false)
	if now.removed {
		text = "the service was removed"
	}
	failure := &deployFailedError{text: fmt.Sprintf("%s: revision %d is not in service: %s", name, revision, text)}
	if exit := d.GetFailure().GetExit(); exit != nil {
		failure.task, failure.logs = d.GetFailure().GetTask(), exit.GetLastLogs()
	} else if d.GetState() != pb.DeploymentState_DEPLOYMENT_STATE_SUPERSEDED {
		failure.task = now.unready(revision, t.served)
		failure.silent = failure.task
	}
	return &exitError{ExitFailed, failure}
}

// deployFailedError says that a deployment did not bring its revision into
// service, or that a job failed.
type deployFailedError struct {
	text   string
	task   string // the one whose output is shown
	silent string // the same when the master has not told its output
	logs   []string
}

func (e *deployFailedError) Error() string {
	if len(e.logs) == 0 {
		return e.text
	}
	return fmt.Sprintf("%s\nlast lines of output of %s:\n  %s", e.text, e.task, strings.Join(e.logs, "\n  "))
}

// outputWithin bounds the wait for output that is not what was asked for.
const outputWithin = 3 * time.Second

// outputOf returns the last lines of a task that has not failed by itself, such
// as one that never got ready; none where they cannot be had.
func (a *app) outputOf(ctx context.Context, task string) []string {
	if task == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, outputWithin)
	defer cancel()
	var lines []string
	_ = a.copyLogs(ctx, &pb.LogsRequest{Name: task, Lines: 10}, func(line *pb.LogLine) error {
		lines = append(lines, line.GetText())
		return nil
	})
	return lines
}

// seenJob waits for the end of a job's run.
func (t *tracker) seenJob(now *situation) (done bool, err error) {
	name := t.deployed.GetService()
	if now.removed || now.service.GetRun() > t.deployed.GetRun() {
		t.shown.end(t.row, name+": did not come to its end, "+t.stopwatch(), false)
		return true, &exitError{ExitFailed, fmt.Errorf("%s: run %d did not come to its end: a newer run took its place, or the job was removed", name, t.deployed.GetRun())}
	}
	switch now.service.GetResult() {
	case pb.JobResult_JOB_RESULT_SUCCEEDED:
		t.shown.end(t.row, fmt.Sprintf("%s: succeeded, %s", name, t.stopwatch()), true)
		return true, nil
	case pb.JobResult_JOB_RESULT_FAILED:
		t.shown.step(t.row, stepOfRun(now)) // how far it came
		t.shown.end(t.row, fmt.Sprintf("%s: failed, %s", name, t.stopwatch()), false)
		return true, &exitError{ExitFailed, jobFailure(name, now)}
	default:
		t.shown.step(t.row, stepOfRun(now))
		return false, nil
	}
}

// stepOfRun sums up where the newest run of a job is. A copy that has failed may
// be tried again.
func stepOfRun(now *situation) step {
	return step{
		service: now.name, wanted: now.wanted(), waiting: now.waiting(),
		settled: now.copies.in[pb.TaskState_TASK_STATE_FINISHED], failed: now.copies.in[pb.TaskState_TASK_STATE_FAILED],
	}
}

// jobFailure shows the newest task of a job's newest run that failed.
func jobFailure(name string, now *situation) error {
	var newest *pb.Task
	copies := now.copies.newest
	for _, number := range slices.Sorted(maps.Keys(copies)) {
		t := copies[number]
		if t.GetStatus().GetState() == pb.TaskState_TASK_STATE_FAILED && (newest == nil || since(newest).Before(since(t))) {
			newest = t
		}
	}
	if newest == nil {
		return fmt.Errorf("%s: failed", name)
	}
	last := newest.GetStatus().GetLast()
	return &deployFailedError{text: fmt.Sprintf("%s: failed: %s: %s", name, newest.GetId(), exitText(last)), task: newest.GetId(), logs: last.GetLastLogs()}
}

func since(t *pb.Task) time.Time { return t.GetStatus().GetSince().AsTime() }
