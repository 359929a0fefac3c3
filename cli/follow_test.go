package cli_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/cli"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	lines := `{"lines": [{"task": "web-3-5", "stream": "stdout", "text": "one"}, {"task": "web-3-6", "stream": "stderr", "text": "two"}]}`
	tellAll(t, map[string]story{
		"logs": {
			commands: []string{"logs web", "logs web -n 20 --json", "logs web-3-5 --previous"},
			answers:  map[string][]string{"Logs": {lines}},
		},
		"logs that follow a task": {
			commands: []string{"logs -f web-3-5"},
			answers:  map[string][]string{"GetService": {"error not_found: unknown service: web-3-5"}, "Logs": {lines + "\n" + lines}},
		},
		"logs that are not there": {
			commands: []string{"logs nope"},
			answers:  map[string][]string{"Logs": {"error not_found: unknown task or service: nope"}},
		},
	})
}

// followed carries out a command that is interrupted by its script.
func followed(t *testing.T, answers map[string][]string, args ...string) (*fake, result) {
	t.Helper()
	f := startFake(t, answers)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f.interrupt = interrupt
	done := f.executeWithin(ctx, "", args...)
	if done.code != cli.ExitInterrupted || done.err != "" {
		t.Errorf("exit %d, stderr %q", done.code, done.err)
	}
	return f, done
}

// Whoever follows a service sees the output of instances that start later, each
// attempt once: those that are there from their last lines on, new ones whole.
func TestLogsFollowAService(t *testing.T) {
	t.Parallel()

	f, _ := followed(t, map[string][]string{"Logs": {"hold"}, "Watch": {script(
		seen(service(3, ""), task("web-3-5", 3, "READY", `, "attempt": 1`), task("web-2-1", 2, "FAILED", `, "attempt": 1`)),
		seen(task("web-3-5", 3, "BACKOFF", `, "attempt": 1`), task("web-4-7", 4, "STARTING", `, "attempt": 1`)),
		seen(task("web-3-5", 3, "RUNNING", `, "attempt": 2`), task("web-4-7", 4, "RUNNING", `, "attempt": 1`)),
		"asked Logs 3", "interrupt",
	)}}, "logs", "-f", "-n", "7", "web")

	asked := slices.DeleteFunc(f.taken(), func(line string) bool { return !strings.HasPrefix(line, "Logs ") })
	slices.Sort(asked)
	want := []string{
		`Logs {"name":"web-3-5","follow":true,"lines":2147483647}`,
		`Logs {"name":"web-3-5","follow":true,"lines":7}`,
		`Logs {"name":"web-4-7","follow":true,"lines":2147483647}`,
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// Whoever follows a job sees the newest task of each copy, also when all has
// ended, and the following ends with the run.
func TestLogsFollowAJob(t *testing.T) {
	t.Parallel()
	lines := func(task string) string {
		return fmt.Sprintf(`{"lines": [{"task": %q, "stream": "stdout", "text": "hi"}]}`, task)
	}
	ended := []string{
		runOf(2, 0, "batch-1-1", "FINISHED"), runOf(3, 0, "batch-1-9", "FAILED"), runOf(3, 0, "batch-1-10", "FINISHED"),
		runOf(3, 1, "batch-1-8", "FINISHED"),
	}
	for name, test := range map[string]struct {
		watch []string
		want  []string
	}{
		"it has ended": {
			watch: []string{seen(append(ended, job(3, "SUCCEEDED"))...)}, want: []string{"batch-1-10", "batch-1-8"},
		},
		"it was stopped": {
			watch: []string{seen(job(3, "FAILED", `, "stopped": true`), runOf(3, 0, "batch-1-7", "STOPPED"))}, want: []string{"batch-1-7"},
		},
		"it ends": {
			watch: []string{
				seen(job(3, "UNDERWAY"), runOf(3, 0, "batch-1-7", "RUNNING")),
				seen(job(3, "SUCCEEDED")), seen(runOf(3, 0, "batch-1-7", "FINISHED")),
			},
			want: []string{"batch-1-7"},
		},
		"it has another try": {
			watch: []string{
				seen(job(3, "UNDERWAY"), runOf(3, 0, "batch-1-7", "RUNNING")),
				seen(runOf(3, 0, "batch-1-7", "FAILED")), seen(runOf(3, 0, "batch-1-8", "RUNNING")),
				seen(job(3, "SUCCEEDED"), runOf(3, 0, "batch-1-8", "FINISHED")),
			},
			want: []string{"batch-1-7", "batch-1-8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, map[string][]string{"Logs": {lines("any")}, "Watch": {script(test.watch...)}})

			done := f.execute(t, "", "logs", "-f", "batch")

			var asked []string
			for _, line := range f.taken() {
				if rest, ok := strings.CutPrefix(line, `Logs {"name":"`); ok {
					asked = append(asked, rest[:strings.Index(rest, `"`)])
				}
			}
			slices.Sort(asked)
			if !slices.Equal(asked, test.want) || done.code != cli.ExitOK || strings.Count(done.out, "any | hi\n") != len(test.want) {
				t.Errorf("asked for %q, want %q; exit %d, stdout %q, stderr %q", asked, test.want, done.code, done.out, done.err)
			}
		})
	}
}

// A service of which nothing runs tells what its newest task has written.
func TestLogsFollowAStoppedService(t *testing.T) {
	t.Parallel()

	f, _ := followed(t, map[string][]string{"Logs": {"hold"}, "Watch": {script(
		seen(service(3, ""), task("web-3-9", 3, "FAILED", ""), task("web-3-10", 3, "STOPPED", "")), "asked Logs 1", "interrupt",
	)}}, "logs", "-f", "web")

	asked := f.taken()
	if want := `Logs {"name":"web-3-10","follow":true}`; asked[len(asked)-1] != want {
		t.Errorf("asked %q, want %q at the end", asked, want)
	}
}

// The events of a new leader are told from the first: each leader numbers its
// own. That it is away for a moment does not end the following.
func TestEventsFollow(t *testing.T) {
	t.Parallel()

	f, done := followed(t, map[string][]string{
		"GetInfo": {`{"epoch": 7}`, `{"epoch": 7}`, "error unavailable: this master does not lead; try again", `{"epoch": 8}`, `{"epoch": 8}`},
		"ListNotes": {
			`{"notes": [{"seq": 41, "at": "2026-03-01T12:00:00Z", "kind": "agent.joined", "agent": "a1", "text": "one"}]}`, "{}", "error not_found: unknown service: web",
			`{"notes": [{"seq": 1, "at": "2026-03-01T12:00:05Z", "kind": "task.ready", "task": "web-3-5", "service": "web"}]}`,
			"interrupt",
		},
	}, "events", "-f")

	want := "2026-03-01 14:00:00.000  agent.joined            a1                    one\n" +
		"2026-03-01 14:00:05.000  task.ready              web-3-5\n"
	if done.out != want {
		t.Errorf("got:\n%swant:\n%s", done.out, want)
	}
	asked := slices.DeleteFunc(f.taken(), func(line string) bool { return !strings.HasPrefix(line, "ListNotes ") })
	wantAsked := []string{
		`ListNotes {"page_size":1000}`, `ListNotes {"after":"41","page_size":1000}`, `ListNotes {"page_size":1000}`,
		`ListNotes {"page_size":1000}`, `ListNotes {"after":"1","page_size":1000}`,
	}
	if !slices.Equal(asked, wantAsked) {
		t.Errorf("asked %q, want %q", asked, wantAsked)
	}
}

// A picture is shown again when it has changed, and only then.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	ready := func(n string) string {
		return `{"service": {"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "revision": "3"}, "state": "running", "wanted": 2, "ready": ` + n + `}}`
	}

	_, done := followed(t, map[string][]string{
		"GetService": {ready("1"), ready("1"), ready("2"), ready("2")},
		"Watch": {script(seen(service(3, "")), seen(task("web-3-5", 3, "READY", "")), "asked GetService 3",
			seen(task("web-3-6", 3, "READY", "")), "asked GetService 4", "interrupt")},
	}, "status", "web", "--watch")

	want := "service web: running, 1 of 2 ready, revision 3\n\nservice web: running, 2 of 2 ready, revision 3\n"
	if done.out != want {
		t.Errorf("got:\n%swant:\n%s", done.out, want)
	}
}

func TestStatusWatchEndsWithTheService(t *testing.T) {
	t.Parallel()
	f := startFake(t, map[string][]string{"Watch": {script(seen(service(3, "")), seen(deleted("services/web")))}})

	done := f.execute(t, "", "status", "web", "-w")

	if done.code != cli.ExitNotFound || !strings.Contains(done.err, "service web was removed") {
		t.Errorf("exit %d, stderr %q", done.code, done.err)
	}
}

// The cluster is looked at every second.
func TestStatusWatchOfTheCluster(t *testing.T) {
	t.Parallel()
	info := func(epoch string) string { return `{"master": "m1", "version": "v1", "epoch": ` + epoch + `}` }

	_, done := followed(t, map[string][]string{
		"GetInfo": {info("7"), info("8"), "interrupt"}, "ListServices": {"{}"}, "ListAgents": {"{}"},
	}, "status", "--watch")

	if !strings.Contains(done.out, "epoch 7") || !strings.Contains(done.out, "\n\nmaster: m1 leads for -, epoch 8") {
		t.Errorf("got:\n%s", done.out)
	}
}
