package engine

import (
	"fmt"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Explain says why a task or a service is as it is, in lines for people: why it
// waits, why it is where it is, why it was started again. The error wraps
// ErrUnknown.
func (e *Engine) Explain(name string) ([]string, error) {
	if t := e.tasks[id.Task(name)]; t != nil {
		return e.explainTask(t), nil
	}
	if s := e.services[id.Service(name)]; s != nil {
		return e.explainService(s), nil
	}
	return nil, unknown("task or service", name)
}

func (e *Engine) explainTask(t *entry) []string {
	r := t.record
	lines := []string{fmt.Sprintf("task %s of %s, revision %d, is %s", r.ID, r.Service, r.Revision, t.state())}
	if r.Status.Reason != "" && t.group == nil {
		lines = append(lines, "reason: "+r.Status.Reason)
	}
	if t.group != nil {
		lines = append(lines, e.explainWait(t)...)
	}
	if r.Claim.Agent != "" && t.state() != task.Pending {
		lines = append(lines, t.explainPlace())
	}
	if since, silent := e.suspect(r.Claim.Agent); silent && !t.state().Ended() {
		after := t.owner.specOf(t).OnLost.After
		lines = append(lines, fmt.Sprintf("agent %s is %s, last heard of at %s; the task is given up after %v",
			r.Claim.Agent, e.AgentState(r.Claim.Agent), since.Format(clock), after))
	}
	if _, silent := e.suspect(r.Claim.Agent); silent && e.frozen() && !t.state().Ended() {
		lines = append(lines, "the breaker is open: nothing is given up; see 'aloft breaker'")
	}
	lines = append(lines, e.explainHealth(t)...)
	if t.state() == task.Draining {
		lines = append(lines, e.explainDrain(t))
	}
	return append(lines, explainExits(r.Status)...)
}

// clock is how explanations write a time.
const clock = "2006-01-02 15:04:05Z07:00"

// explainWait says why a task has no place yet, where it stands in the queue, and when
// it may start.
func (e *Engine) explainWait(t *entry) []string {
	var lines []string
	if why := t.group.reason(); why != "" {
		lines = append(lines, "no place: "+why)
	}
	turn, _ := e.Turn(t.record.ID)
	return append(lines, turn.String())
}

// explainPlace says where a task is, what it holds there, and why it was chosen.
func (t *entry) explainPlace() string {
	claim := t.record.Claim
	var parts []string
	for _, slice := range claim.Slices {
		parts = append(parts, string(slice.Partition))
	}
	text := fmt.Sprintf("on agent %s", claim.Agent)
	if len(parts) > 0 {
		text += ", partitions " + strings.Join(parts, ", ")
	}
	if claim.Pool != "" {
		text += fmt.Sprintf(", from pool %s", claim.Pool)
	}
	if t.why != "" {
		text += ": " + t.why
	}
	return text
}

// explainDrain says which routers a task that drains still waits for.
func (e *Engine) explainDrain(t *entry) string {
	var open []string
	for _, state := range e.Routers() {
		r := e.routers[state.Confirmation.Router]
		switch {
		case r.busyWith(t.record.ID):
			open = append(open, fmt.Sprintf("router %s has requests in flight", state.Confirmation.Router))
		case r.confirmation.Version.Less(t.leaving().left):
			open = append(open, fmt.Sprintf("router %s has not confirmed table %s", state.Confirmation.Router, t.leaving().left))
		}
	}
	until := t.owner.drainsUntil(t)
	if len(open) == 0 {
		return "it drains until " + until.Format(clock)
	}
	return fmt.Sprintf("it drains until %s: %s", until.Format(clock), strings.Join(open, ", "))
}

// explainExits says how a task's attempts ended.
func explainExits(status task.Status) []string {
	var lines []string
	if status.Attempt > 1 {
		lines = append(lines, fmt.Sprintf("started %s, %s in a row", resource.Count(status.Attempt, "time"), resource.Count(status.Failures, "failure")))
	}
	if status.Last == nil {
		return lines
	}
	lines = append(lines, fmt.Sprintf("its last attempt ended at %s: %s", status.Last.At.Format(clock), status.Last))
	for _, line := range status.Last.LastLogs {
		lines = append(lines, "  | "+line)
	}
	if status.State == task.Backoff {
		lines = append(lines, "it is started again at "+status.RetryAt.Format(clock))
	}
	return lines
}

func (e *Engine) explainService(s *service) []string {
	r := s.record
	var lines []string
	switch {
	case r.Removing:
		lines = append(lines, fmt.Sprintf("%s %s is being removed", r.Kind, r.Name))
	case r.Stopped:
		lines = append(lines, fmt.Sprintf("%s %s is stopped", r.Kind, r.Name))
	case r.Revision == 0:
		lines = append(lines, fmt.Sprintf("%s %s: its first deployment failed and nothing is wanted", r.Kind, r.Name))
	case r.Kind == spec.Service:
		lines = append(lines, fmt.Sprintf("%s %s: %s of revision %d wanted", r.Kind, r.Name, resource.Count(r.Instances, "instance"), r.Revision))
	default:
		lines = append(lines, fmt.Sprintf("%s %s: revision %d is wanted", r.Kind, r.Name, r.Revision))
	}
	lines = append(lines, s.explainDeployment()...)
	if waiting := e.waitsFor(s); waiting != "" {
		lines = append(lines, "it waits for "+waiting)
	}
	if r.Kind == spec.Cron && !r.NextRun.IsZero() {
		lines = append(lines, "it runs next at "+r.NextRun.Format(clock))
	}
	lines = append(lines, s.explainRun()...)
	for _, t := range s.live {
		first := t.group != nil && t.group.waiting[0] == t
		if first || t.record.Status.Last != nil || !t.state().Live() || t.record.Status.IsUnhealthy() {
			lines = append(lines, e.explainTask(t)...)
		}
	}
	return lines
}

// explainRun says how the newest run of a job or cron ended, and why it failed.
func (s *service) explainRun() []string {
	if s.record.Run == 0 || s.record.Result == NoResult {
		return nil
	}
	words := map[Result]string{Underway: "is underway", Succeeded: "has succeeded", Unsuccessful: "has failed"}
	lines := []string{fmt.Sprintf("run %d %s", s.record.Run, words[s.record.Result])}
	for _, t := range s.ended {
		if t.record.Run == s.record.Run && t.state() == task.Failed {
			lines = append(lines, fmt.Sprintf("task %s failed on agent %s: %s", t.record.ID, t.record.Claim.Agent, failureText(t.record.Status)))
		}
	}
	return lines
}

// explainDeployment says how the newest deployment stands or ended, and of one that
// led back why the one before it failed.
func (s *service) explainDeployment() []string {
	newest := s.deployments[max(0, len(s.deployments)-1):]
	if len(s.deployments) > 1 && newest[0].Automatic && newest[0].State.Ended() {
		newest = s.deployments[len(s.deployments)-2:]
	}
	var lines []string
	for _, d := range newest {
		text := fmt.Sprintf("deployment %s from revision %d to %d is %s", d.ID, d.From, d.To, d.State)
		if d.Reason != "" {
			text += ": " + d.Reason
		}
		lines = append(lines, text)
	}
	return lines
}
