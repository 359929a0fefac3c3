package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/cli"
)

// runTask is a task of a job that run has made.
func runTask(state, extra string) string { return task("j-1-1", 1, state, extra) }

func TestRun(t *testing.T) {
	t.Parallel()
	pending := runTask("PENDING", `, "reason": "no agent has cpus 8"`)
	output := "{\"lines\": [{\"task\": \"j-1-1\", \"stream\": \"stdout\", \"text\": \"one\"}]}\n" +
		`{"lines": [{"task": "j-1-1", "stream": "stderr", "text": "two"}]}`
	answers := func(messages ...string) map[string][]string {
		return map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(messages...)}, "Logs": {output}}
	}
	ends := func(result, state, extra string) map[string][]string {
		return answers(seen(job(1, "UNDERWAY"), runTask("RUNNING", "")), seen(job(1, result), runTask(state, extra)))
	}
	stories := map[string]story{
		"run": {
			commands: []string{
				"run --name j -- echo one", "run --name j --json -- echo one",
				"run --name j --cpus 2 --mem 1GiB --pool web --env A=1 --env B=$b --keep -- ./convert $all",
			},
			answers: answers(seen(job(1, "UNDERWAY"), pending), seen(runTask("STARTING", "")), seen(job(1, "SUCCEEDED"), runTask("FINISHED", ""))),
		},
		"run of a program that fails":             {commands: []string{"run --name j -- false"}, answers: ends("FAILED", "FAILED", `, "last": {"code": 3}`)},
		"run of a program that a signal ends":     {commands: []string{"run --name j -- sleep 9"}, answers: ends("FAILED", "FAILED", `, "last": {"signal": 9}`)},
		"run of a program without enough memory":  {commands: []string{"run --name j -- eat"}, answers: ends("FAILED", "FAILED", `, "last": {"signal": 9, "oom": true}`)},
		"run of a program that is not there":      {commands: []string{"run --name j -- nope"}, answers: ends("FAILED", "FAILED", `, "last": {"code": 127, "error": "command not found: nope"}`)},
		"run of a program of no sense":            {commands: []string{"run --name j -- ./nope"}, answers: ends("FAILED", "FAILED", `, "last": {"code": -1, "error": "exec format error"}`)},
		"run of what is lost":                     {commands: []string{"run --name j -- ./nope"}, answers: ends("FAILED", "LOST", `, "reason": "agent a1 has been silent for 1m", "last": {"signal": 9}`)},
		"run that somebody else stops":            {commands: []string{"run --name j -- sleep 9"}, answers: answers(seen(job(1, "UNDERWAY"), runTask("RUNNING", "")), seen(job(1, "UNDERWAY", `, "stopped": true`), runTask("STOPPED", `, "reason": "the service is stopped"`)))},
		"run that is stopped by a signal":         {commands: []string{"run --name j -- sleep 9"}, answers: answers(seen(job(1, "UNDERWAY"), runTask("RUNNING", "")), seen(job(1, "UNDERWAY", `, "stopped": true`), runTask("STOPPED", `, "reason": "the service is stopped", "last": {"code": -1, "signal": 15}`)))},
		"run of a name that is taken":             {commands: []string{"run --name j -- true", "run --name j --detach -- true"}, answers: map[string][]string{"GetService": {`{"service": {"service": {"name": "j", "kind": "SPEC_KIND_JOB"}}}`, `{"service": {"service": {"name": "j", "kind": "SPEC_KIND_CRON"}}}`}}},
		"run that somebody else removes":          {commands: []string{"run --name j -- sleep 9"}, answers: answers(seen(job(1, "UNDERWAY"), runTask("RUNNING", "")), seen(deleted("services/j")))},
		"run of what is lost and starts again":    {commands: []string{"run --name j -- echo one"}, answers: answers(seen(job(1, "UNDERWAY"), runTask("LOST", "")), seen(job(1, "SUCCEEDED"), strings.ReplaceAll(runTask("FINISHED", ""), `"id": "j-1-1"`, `"id": "j-1-2", "created_at": "2026-03-01T12:00:00Z"`)))},
		"run and detach":                          {commands: []string{"run --name j --detach -- echo one"}, answers: map[string][]string{"Deploy": {acceptedJob}}},
		"run whose output is not to be had":       {commands: []string{"run --name j -- echo one"}, answers: map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(seen(job(1, "SUCCEEDED"), runTask("FINISHED", "")))}, "Logs": {"error unavailable: agent a1 is out of reach"}}},
		"run of a program that wrote nothing yet": {commands: []string{"run --name j -- true"}, answers: map[string][]string{"Deploy": {acceptedJob}, "Watch": {script(seen(job(1, "SUCCEEDED"), runTask("FINISHED", "")))}, "Logs": {"error not_found: task j-1-1 has no logs"}}},
	}
	for _, s := range stories {
		if s.answers["GetService"] == nil {
			s.answers["GetService"] = []string{nobody}
		}
	}
	tellAll(t, stories)
}

// nobody is the answer to whoever asks for a service that is not there.
const nobody = "error not_found: unknown service: j"

// Ctrl-C stops the job; with --keep it is not forgotten.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags []string
		stop  string
	}{
		"it is removed":       {stop: `Stop {"service":"j","remove":true}`},
		"it is kept, stopped": {flags: []string{"--keep"}, stop: `Stop {"service":"j"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, map[string][]string{
				"GetService": {nobody}, "Deploy": {acceptedJob}, "Logs": {"hold"},
				"Watch": {script(seen(job(1, "UNDERWAY"), runTask("RUNNING", "")), "interrupt")},
			})
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			f.interrupt = interrupt

			done := f.executeWithin(ctx, "", slices.Concat([]string{"run", "--name", "j"}, test.flags, []string{"--", "sleep", "9"})...)

			asked := f.taken()
			if done.code != cli.ExitInterrupted || done.err != "" || asked[len(asked)-1] != test.stop {
				t.Errorf("exit %d, stderr %q, asked %q", done.code, done.err, asked)
			}
		})
	}
}
