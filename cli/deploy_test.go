package cli_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/cli"
)

// The lines below make up the messages of a watch. An extra is more JSON fields,
// each with a comma before it.

func seen(changes ...string) string {
	return `{"synced": true, "changes": [` + strings.Join(changes, ", ") + `]}`
}

func service(revision int, deployment string) string {
	return fmt.Sprintf(`{"record": {"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "instances": 2, "revision": %d, "deployment": %q}}}`,
		revision, deployment)
}

func deployment(id string, from, to int, state, extra string) string {
	return fmt.Sprintf(`{"record": {"deployment": {"id": %q, "service": "web", "from": %d, "to": %d, "state": "DEPLOYMENT_STATE_%s"%s}}}`,
		id, from, to, state, extra)
}

func task(id string, revision int, state, extra string) string {
	return fmt.Sprintf(`{"record": {"task": {"id": %q, "service": "web", "agent": "a1", "revision": %d, "status": {"state": "TASK_STATE_%s"%s}}}}`,
		id, revision, state, extra)
}

// unplaced is a task that has no place yet.
func unplaced(id string, revision int, reason string) string {
	return fmt.Sprintf(`{"record": {"task": {"id": %q, "service": "web", "revision": %d, "status": {"state": "TASK_STATE_PENDING", "reason": %q}}}}`,
		id, revision, reason)
}

// runOf is a task of a run of a job.
func runOf(run, number int, id, state string, extra ...string) string {
	return fmt.Sprintf(`{"record": {"task": {"id": %q, "service": "batch", "agent": "a1", "run": %d, "copy": %d, "status": {"state": "TASK_STATE_%s"%s}}}}`,
		id, run, number, state, strings.Join(extra, ""))
}

func job(run int, result string, extra ...string) string {
	return fmt.Sprintf(`{"record": {"service": {"name": "batch", "kind": "SPEC_KIND_JOB", "instances": 2, "run": %d, "result": "JOB_RESULT_%s"%s}}}`,
		run, result, strings.Join(extra, ""))
}

func deleted(key string) string { return fmt.Sprintf(`{"deleted": %q}`, key) }

func script(messages ...string) string { return strings.Join(append(messages, "hold"), "\n") }

const (
	accepted      = `after 300ms {"services": [{"service": "web", "kind": "SPEC_KIND_SERVICE", "revision": 4, "deployment": "web-6", "changed": true}]}`
	acceptedFirst = `{"services": [{"service": "web", "kind": "SPEC_KIND_SERVICE", "revision": 1, "deployment": "web-1", "changed": true}]}`
	unchanged     = `{"services": [{"service": "web", "kind": "SPEC_KIND_SERVICE", "revision": 4}]}`
	acceptedJob   = `{"services": [{"service": "batch", "kind": "SPEC_KIND_JOB", "revision": 1, "run": 3, "changed": true}]}`
	acceptedCron  = `{"services": [{"service": "tidy", "kind": "SPEC_KIND_CRON", "revision": 1, "changed": true}]}`
)

// settled is a deployment that goes well.
var settled = script(
	seen(service(4, "web-6"), deployment("web-6", 3, 4, "GOING", ""), task("web-3-5", 3, "READY", ""), task("web-3-6", 3, "READY", "")),
	seen(task("web-4-7", 4, "RUNNING", `, "reason": "not ready: http probe: status 503"`)),
	"after 1s "+seen(task("web-4-7", 4, "READY", ""), deployment("web-6", 3, 4, "GOING", `, "settled": 1`)),
	seen(task("web-3-5", 3, "STOPPED", "")),
	"after 500ms "+seen(task("web-4-8", 4, "READY", ""), deployment("web-6", 3, 4, "GOING", `, "settled": 2`)),
	"after 500ms "+seen(task("web-3-6", 3, "STOPPED", ""), service(4, ""), deployment("web-6", 3, 4, "DONE", `, "settled": 2, "reason": "2 instances of revision 4"`)),
)

func TestDeploy(t *testing.T) {
	t.Parallel()
	const failure = `, "failure": {"task": "web-4-7", "exit": {"code": 7, "last_logs": ["listening", "no such table: users"]}}`
	deploy := []string{"deploy testdata/spec/web.yaml"}
	tellAll(t, map[string]story{
		"deploy": {
			commands: []string{"deploy testdata/spec/web.yaml --reason better", "deploy testdata/spec/web.yaml --json"},
			answers:  map[string][]string{"Deploy": {accepted}, "Watch": {settled}},
		},
		"deploy and detach": {
			commands: []string{"deploy --detach testdata/spec/web.yaml", "deploy --detach --json testdata/spec/web.yaml"},
		},
		"deploy for the first time": {commands: deploy, answers: map[string][]string{
			"Deploy": {acceptedFirst},
			"Watch": {script(
				seen(service(1, "web-1"), deployment("web-1", 0, 1, "GOING", ""), task("web-1-1", 1, "PENDING", `, "reason": "no agent has cpus 8"`)),
				seen(task("web-1-1", 1, "BACKOFF", `, "attempt": 2, "last": {"code": 1}`)),
				seen(task("web-1-1", 1, "READY", ""), service(1, ""), deployment("web-1", 0, 1, "DONE", "")),
			)},
		}},
		"deploy that is rolled back": {
			commands: []string{"deploy testdata/spec/web.yaml", "deploy testdata/spec/web.yaml --json"},
			answers: map[string][]string{"Deploy": {accepted}, "Watch": {script(
				seen(service(4, "web-6"), deployment("web-6", 3, 4, "GOING", ""), task("web-3-5", 3, "READY", ""), task("web-3-6", 3, "READY", "")),
				"after 1s "+seen(service(3, "web-7"), deployment("web-6", 3, 4, "ROLLED_BACK", `, "reason": "2 starts failed in a row"`+failure), deployment("web-7", 4, 3, "GOING", `, "automatic": true`)),
				"after 1s "+seen(service(3, ""), deployment("web-7", 4, 3, "DONE", `, "automatic": true`)),
			)}},
		},
		"deploy that fails at the first revision": {commands: deploy, answers: map[string][]string{
			"Deploy": {acceptedFirst},
			"Watch": {script(seen(service(0, ""), deployment("web-1", 0, 1, "ROLLED_BACK",
				`, "reason": "2 starts failed in a row", "failure": {"task": "web-1-1", "exit": {"error": "command not found: ./web"}}`)))},
		}},
		"deploy that never gets ready": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch": {script(seen(service(3, ""), deployment("web-6", 3, 4, "ROLLED_BACK", `, "reason": "no progress for 5m0s"`),
				task("web-4-7", 4, "STOPPED", ""), task("web-3-5", 3, "READY", "")))},
			"Logs": {`{"lines": [{"task": "web-4-7", "stream": "stdout", "text": "waiting for the database"}]}`},
		}},
		"deploy without room for its second instance": {commands: deploy, answers: map[string][]string{
			"Deploy": {acceptedFirst},
			"Watch": {script(
				seen(service(1, "web-1"), deployment("web-1", 0, 1, "GOING", ""), task("web-1-1", 1, "READY", "")),
				seen(service(1, ""), unplaced("web-1-2", 1, "1 agent short of licences by 1"),
					deployment("web-1", 0, 1, "FAILED", `, "reason": "no progress for 5s: waiting for room for web-1-2: 1 agent short of licences by 1"`)),
			)},
		}},
		"deploy whose only instance served for a while": {commands: deploy, answers: map[string][]string{
			"Deploy": {acceptedFirst},
			"Watch": {script(
				seen(service(1, "web-1"), deployment("web-1", 0, 1, "GOING", ""), task("web-1-1", 1, "READY", "")),
				seen(service(0, ""), task("web-1-1", 1, "STOPPED", ""), deployment("web-1", 0, 1, "ROLLED_BACK", `, "reason": "no progress for 5s"`)),
			)},
		}},
		"deploy whose way back failed": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch":  {script(seen(service(4, ""), deployment("web-6", 3, 4, "FAILED", `, "reason": "2 starts failed in a row"`+failure)))},
		}},
		"deploy that pauses": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch":  {script(seen(service(4, "web-6"), deployment("web-6", 3, 4, "PAUSED", `, "reason": "2 starts failed in a row"`+failure)))},
		}},
		"deploy that another one supersedes": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch":  {script(seen(service(5, "web-7"), deployment("web-6", 3, 4, "SUPERSEDED", `, "reason": "deployment web-7 took its place"`)))},
		}},
		"deploy that is aborted": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch":  {script(seen(service(3, ""), deployment("web-6", 3, 4, "ABORTED", `, "reason": "ended by an operator"`+failure)))},
		}},
		"deploy of a service that is removed": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch": {script(
				seen(service(4, "web-6"), deployment("web-6", 3, 4, "GOING", "")),
				seen(deleted("deployments/web-6"), deleted("services/web")),
			)},
		}},
		"deploy of what is there": {commands: deploy, answers: map[string][]string{
			"Deploy": {unchanged}, "Watch": {script(seen(service(4, ""), deployment("web-6", 3, 4, "DONE", "")))},
		}},
		"deploy of what is on its way": {commands: deploy, answers: map[string][]string{"Deploy": {unchanged}, "Watch": {settled}}},
		"deploy through a change of leader": {commands: deploy, answers: map[string][]string{
			"Deploy": {accepted},
			"Watch": {
				seen(service(4, "web-6"), deployment("web-6", 3, 4, "GOING", "")) + "\nerror unavailable: this master does not lead; try again",
				"error out_of_range: that revision is no longer kept; watch from 0",
				settled,
			},
		}},
		"deploy of a cron":       {commands: deploy, answers: map[string][]string{"Deploy": {acceptedCron}}},
		"deploy that is refused": {commands: deploy, answers: map[string][]string{"Deploy": {"error failed_precondition: web is a job; stop it with remove before the name can be that of a service"}}},
		"deploy of a wrong spec": {commands: []string{"deploy testdata/spec/bad.yaml"}},
		"rollback":               {commands: []string{"rollback web", "rollback web --to 2 --if-version 17 --detach"}, answers: map[string][]string{"Watch": {settled}}},
		"rollback to nothing":    {commands: []string{"rollback web --to -2"}},
		"deploy of several specs": {commands: []string{"deploy testdata/spec/web.yaml --json"}, answers: map[string][]string{
			"Deploy": {`{"services": [{"service": "web", "kind": "SPEC_KIND_SERVICE", "revision": 4, "deployment": "web-6", "changed": true}, {"service": "tidy", "kind": "SPEC_KIND_CRON", "revision": 1, "changed": true}]}`},
			"Watch":  {settled},
		}},
	})
}

func TestDeployOfAJob(t *testing.T) {
	t.Parallel()
	tellAll(t, map[string]story{
		"deploy of a job": {
			commands: []string{"deploy testdata/spec/web.yaml", "deploy --wait testdata/spec/web.yaml"},
			answers: map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(
				seen(job(3, "UNDERWAY"), runOf(2, 0, "batch-1-3", "FINISHED"), runOf(3, 0, "batch-1-5", "RUNNING")),
				seen(runOf(3, 1, "batch-1-6", "FAILED"), runOf(3, 1, "batch-1-7", "RUNNING")),
				seen(runOf(3, 0, "batch-1-5", "FINISHED")),
				"after 90s "+seen(job(3, "SUCCEEDED"), runOf(3, 1, "batch-1-7", "FINISHED")),
			)}},
		},
		"deploy of a job that fails": {
			commands: []string{"deploy --wait testdata/spec/web.yaml"},
			answers: map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(
				seen(job(3, "UNDERWAY"), runOf(2, 0, "batch-1-1", "FAILED", `, "since": "2026-03-01T11:00:09Z", "last": {"code": 2}`),
					runOf(3, 0, "batch-1-2", "FINISHED"),
					runOf(3, 1, "batch-1-3", "FAILED", `, "since": "2026-03-01T11:00:00Z", "last": {"code": 1}`)),
				seen(runOf(3, 1, "batch-1-4", "RUNNING")),
				seen(job(3, "FAILED"), runOf(3, 1, "batch-1-4", "FAILED",
					`, "since": "2026-03-01T11:00:01Z", "last": {"signal": 9, "oom": true, "last_logs": ["too much"]}`)),
			)}},
		},
		"deploy of a job that another run replaces": {
			commands: []string{"deploy --wait testdata/spec/web.yaml"},
			answers:  map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(seen(job(4, "UNDERWAY")))}},
		},
	})
}

// A deployment goes on when the following is interrupted, and that is said.
func TestDeployInterrupted(t *testing.T) {
	t.Parallel()
	f := startFake(t, map[string][]string{"Deploy": {accepted}, "Watch": {
		script(seen(service(4, "web-6"), deployment("web-6", 3, 4, "GOING", "")), "interrupt"),
	}})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f.interrupt = interrupt

	done := f.executeWithin(ctx, "", "deploy", "testdata/spec/web.yaml")

	if done.code != cli.ExitInterrupted || done.err != "web: what was deployed goes on; 'aloft status web' shows it\n" {
		t.Errorf("exit %d, stderr %q", done.code, done.err)
	}
}
