package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/cli"
)

var update = flag.Bool("update", false, "write the golden files anew")

// result is what a command did.
type result struct {
	out, err string
	code     int
}

// execute carries out a command line against a fake master.
func (f *fake) execute(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return f.executeWithin(ctx, stdin, args...)
}

func (f *fake) executeWithin(ctx context.Context, stdin string, args ...string) result {
	var out, errOut bytes.Buffer
	root := cli.New(cli.Config{Version: "v1.2.3", In: strings.NewReader(stdin), Out: &out, Err: &errOut, Now: f.clock.time})
	root.SetArgs(append([]string{"--addr", f.url}, args...))
	code := cli.Execute(ctx, root, &errOut)
	return result{out.String(), errOut.String(), code}
}

// story is one golden file: command lines, and the answers that they get.
type story struct {
	commands []string
	answers  map[string][]string
	stdin    string
}

// tell plays a story and writes it down: of every command what was asked, what
// it printed, and how it exited.
func (s story) tell(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for i, command := range s.commands {
		f := startFake(t, s.answers)
		done := f.execute(t, s.stdin, words(command)...)
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "$ aloft %s\n", command)
		for _, asked := range inOrder(f.taken()) {
			fmt.Fprintf(&text, "> %s\n", asked)
		}
		text.WriteString(strings.ReplaceAll(done.out, f.url, "http://MASTER"))
		for line := range strings.Lines(strings.ReplaceAll(done.err, f.url, "http://MASTER")) {
			text.WriteString("! " + line)
		}
		fmt.Fprintf(&text, "exit %d\n", done.code)
	}
	return text.String()
}

// inOrder sorts requests for logs that follow each other: those of several tasks
// are asked for at the same time.
func inOrder(asked []string) []string {
	isLogs := func(request string) bool { return strings.HasPrefix(request, "Logs ") }
	for from := 0; from < len(asked); from++ {
		to := from
		for to < len(asked) && isLogs(asked[to]) {
			to++
		}
		slices.Sort(asked[from:to])
		from = max(from, to-1)
	}
	return asked
}

// residents is the answer about an agent with these on it.
func residents(draining bool, list ...string) string {
	tasks := 0
	for _, r := range list {
		var resident struct{ Tasks int }
		if err := json.Unmarshal([]byte(r), &resident); err != nil {
			panic(err)
		}
		tasks += resident.Tasks
	}
	return fmt.Sprintf(`{"agent": {"agent": {"id": "a2", "draining": %t}, "state": "draining", "tasks": %d}, "residents": [%s]}`,
		draining, tasks, strings.Join(list, ", "))
}

// planned is a rebalance of two moves, and moves is how far they are.
const planned = `{"moves": [
	{"service": "web", "task": "web-3-6", "from": "a1", "to": "a2", "why": "zone a has 3, zone b has 0"},
	{"service": "web", "task": "web-3-5", "from": "a1", "to": "a2", "why": "host a1 has 2, host a2 has 0"}],
	"skipped": [{"service": "api", "why": "deployment api-2 is under way"}], "more": true}`

func moves(first, second string) string {
	return fmt.Sprintf(`{"moves": [{"service": "web", "task": "web-3-6", "from": "a1", "to": "a2", "state": "MOVE_STATE_%s"},
		{"service": "web", "task": "web-3-5", "from": "a1", "to": "a2", "state": "MOVE_STATE_%s"}]}`, first, second)
}

// words takes a command line apart; "" is an empty word.
func words(command string) []string {
	list := strings.Fields(command)
	for i, word := range list {
		if word == `""` {
			list[i] = ""
		}
	}
	return list
}

// compareGolden holds text against testdata/NAME.txt.
func compareGolden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s", file, text)
	}
}

func tellAll(t *testing.T, stories map[string]story) {
	t.Helper()
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			text := s.tell(t)

			compareGolden(t, strings.ReplaceAll(name, " ", "-"), text)
		})
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	tellAll(t, map[string]story{
		"services": {commands: []string{"services", "services --json"}},
		"services on several pages": {commands: []string{"services", "services --json"}, answers: map[string][]string{
			"ListServices": {
				`{"services": [{"service": {"name": "a", "kind": "SPEC_KIND_SERVICE"}, "state": "running"}], "next_page_token": "a"}`,
				`{"services": [{"service": {"name": "b", "kind": "SPEC_KIND_SERVICE"}, "state": "running"}]}`,
			},
		}},
		"nothing there": {commands: []string{"services", "services --json", "status"}, answers: map[string][]string{
			"ListServices": {"{}"}, "ListAgents": {"{}"}, "GetInfo": {"{}"}, "GetBreaker": {"{}"},
		}},
		"tasks":  {commands: []string{"tasks", "tasks web --agent a1 --all", "tasks --json"}},
		"agents": {commands: []string{"agents", "agents --json", "agents remove a3", "undrain a2"}},
		"drain": {
			commands: []string{"drain a2 --deadline 30m --detach", "drain a2 --detach --json", "drain a2", "drain a2 --json"},
			answers: map[string][]string{"GetAgent": {
				residents(true, `{"service": "batch", "kind": "SPEC_KIND_JOB", "tasks": 1, "waiting": "their end"}`, `{"service": "web", "kind": "SPEC_KIND_SERVICE", "tasks": 3, "waiting": "web-3-9 to settle"}`),
				"after 2s " + residents(true, `{"service": "batch", "kind": "SPEC_KIND_JOB", "tasks": 1, "waiting": "their end"}`),
				"error unavailable: this master does not lead; try again",
				"after 1s " + residents(true),
			}},
		},
		"drain by force": {
			commands: []string{"drain a2 --force --timeout 10s", "drain a2 --force --detach"},
			answers: map[string][]string{
				"DrainAgent": {`{"missing": ["web must keep 2 of 2 instances, and 1 cannot leave: 1 agent closed (draining or out of reach)"]}`},
				"GetAgent": {
					residents(true, `{"service": "web", "kind": "SPEC_KIND_SERVICE", "tasks": 1, "waiting": "room for web-3-9"}`),
					"after 10s " + residents(true, `{"service": "web", "kind": "SPEC_KIND_SERVICE", "tasks": 1, "waiting": "room for web-3-9"}`),
				},
			},
		},
		"drain that is refused": {commands: []string{"drain a2", "drain a2 --detach"}, answers: map[string][]string{
			"DrainAgent": {"error failed_precondition: conflict: agent a2 cannot be drained: web must keep 2 of 2 instances, and 1 cannot leave: 1 agent short of cpus by 0.25; force drains it all the same"},
		}},
		"drain that is taken back": {commands: []string{"drain a2"}, answers: map[string][]string{"GetAgent": {
			residents(true, `{"service": "web", "tasks": 1}`), "after 1s " + residents(false, `{"service": "web", "tasks": 1}`),
		}}},
		"rebalance": {
			commands: []string{"rebalance --dry-run", "rebalance --dry-run --json", "rebalance --moves 2 web", "rebalance --json", "rebalance --detach"},
			answers: map[string][]string{
				"Rebalance": {planned},
				"ListMoves": {
					moves("STARTS", "WAITS"), "after 2s " + moves("LEAVES", "WAITS"),
					"error unavailable: this master does not lead; try again",
					moves("DONE", "SETTLES"), "after 1s " + moves("DONE", "DONE"),
				},
			},
		},
		"rebalance that comes to nothing": {commands: []string{"rebalance"}, answers: map[string][]string{
			"Rebalance": {planned}, "ListMoves": {moves("DONE", "STARTS"), "after 1s " + moves("DONE", "GIVEN_UP")},
		}},
		"rebalance of nothing": {commands: []string{"rebalance", "rebalance --dry-run"}, answers: map[string][]string{"Rebalance": {"{}"}}},
		"rebalance that is refused": {commands: []string{"rebalance batch"}, answers: map[string][]string{
			"Rebalance": {"error invalid_argument: invalid: batch is a job: only the instances of a service can move"},
		}},
		"drain of an agent that is removed": {commands: []string{"drain a2"}, answers: map[string][]string{"GetAgent": {
			residents(true, `{"service": "web", "tasks": 1}`), "error not_found: unknown agent: a2",
		}}},
		"masters": {commands: []string{"masters", "masters --json", "masters transfer", "masters transfer --json"}},
		"changes of masters": {commands: []string{
			"masters add m4=http://10.0.0.4:7118", "masters add m4=http://10.0.0.4:7118 --json",
			"masters remove m3", "masters remove m3 --force --json", "masters replace m3=http://10.0.0.9:7118 --force", "masters replace m3=http://10.0.0.9:7118 --json",
		}},
		"masters without a majority": {commands: []string{"masters", "masters remove m2"}, answers: map[string][]string{
			"ListMasters": {`{"no_majority": true, "masters": [
				{"id": "m1", "role": "standby", "address": "http://10.0.0.1:7117", "peer_url": "http://10.0.0.1:7118", "version": "v1.2.3"},
				{"id": "m2", "role": "unknown", "peer_url": "http://10.0.0.2:7118"}]}`},
			"RemoveMaster": {"error failed_precondition: remove master m2: a majority of the members must be connected, before and after the change"},
		}},
		"the last but one master": {commands: []string{"masters remove m2"}, answers: map[string][]string{
			"RemoveMaster": {`{"name": "m2", "voting": 1}`},
		}},
		"the only master": {commands: []string{"masters", "masters transfer"}, answers: map[string][]string{
			"ListMasters":        {`{"masters": [{"id": "dev", "version": "v1.2.3", "started_at": "2026-03-01T11:00:00Z", "leading": true, "role": "leader"}]}`},
			"TransferLeadership": {"error failed_precondition: no other master is there to lead"},
		}},
		"breaker": {commands: []string{
			"breaker", "breaker --json", "breaker release", "breaker release web", "breaker release --json", "breaker set --limit 50% --window 1m",
			"breaker set --limit off --json",
		}},
		"breaker that is closed": {commands: []string{"breaker", "breaker release", "status"}, answers: map[string][]string{
			"GetBreaker":     {`{"breaker": {"limit_percent": 30, "window": "30s", "agents": 5}}`},
			"ReleaseBreaker": {`{"breaker": {"limit_percent": 30, "window": "30s", "agents": 5}}`},
		}},
		"breaker that is off": {commands: []string{"breaker"}, answers: map[string][]string{
			"GetBreaker": {`{"breaker": {"window": "30s", "agents": 5}}`},
		}},
		"partitions":  {commands: []string{"partitions", "partitions a1 --json"}},
		"pools":       {commands: []string{"pools", "pools list --json"}},
		"capacity":    {commands: []string{"capacity", "capacity --json"}},
		"deployments": {commands: []string{"deployments", "deployments web --json"}},
		"history":     {commands: []string{"history web", "history web --json"}},
		"events":      {commands: []string{"events", "events --service web --json"}},
		"explain":     {commands: []string{"explain web-3-6", "explain web-3-6 --json"}},
		"version":     {commands: []string{"version", "version --json"}},
		"version without a master": {
			commands: []string{"version", "version --json"},
			answers:  map[string][]string{"GetInfo": {"error unavailable: this master does not lead; try again"}},
		},
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	tellAll(t, map[string]story{
		"status of the cluster": {commands: []string{"status", "status --json"}},
		"status of a service":   {commands: []string{"status web", "status web --json"}},
		"status of a deployment": {commands: []string{"status web"}, answers: map[string][]string{"GetService": {`{"service": {
			"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "revision": "5", "deployment": "web-6"},
			"deployment": {"id": "web-6", "from": "3", "to": "5", "state": "DEPLOYMENT_STATE_PAUSED", "reason": "paused by an operator", "settled": 1, "started_at": "2026-03-01T11:59:30Z"},
			"ready": 2, "wanted": 2, "state": "deploying"}}`}}},
		"status of a restart": {commands: []string{"status web"}, answers: map[string][]string{"GetService": {`{"service": {
			"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "revision": "5", "restarted_at": "2026-03-01T11:59:48Z"},
			"tasks": [
				{"id": "web-5-9", "revision": "5", "agent": "a1", "created_at": "2026-03-01T11:59:50Z", "status": {"state": "TASK_STATE_READY"}},
				{"id": "web-5-10", "revision": "5", "agent": "a2", "created_at": "2026-03-01T11:59:58Z", "status": {"state": "TASK_STATE_STARTING"}},
				{"id": "web-5-8", "revision": "5", "agent": "a2", "created_at": "2026-03-01T11:00:00Z", "status": {"state": "TASK_STATE_READY"}},
				{"id": "web-5-2", "revision": "5", "agent": "a2", "created_at": "2026-03-01T10:00:00Z", "status": {"state": "TASK_STATE_FAILED"}}],
			"ready": 2, "wanted": 2, "state": "running"}}`}}},
		"status of a restart of one": {commands: []string{"status web"}, answers: map[string][]string{"GetService": {`{"service": {
			"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "revision": "5", "restarted_at": "2026-03-01T10:59:48Z"},
			"tasks": [
				{"id": "web-5-9", "revision": "5", "agent": "a1", "created_at": "2026-03-01T11:00:00Z", "restart": true, "status": {"state": "TASK_STATE_READY"}}],
			"ready": 1, "wanted": 1, "state": "running"}}`}}},
		"status of a cron": {commands: []string{"status tidy"}, answers: map[string][]string{"GetService": {`{"service": {
			"service": {"name": "tidy", "kind": "SPEC_KIND_CRON", "revision": "1", "run": "12", "next_run": "2026-03-01T12:05:00Z"}, "state": "scheduled"}}`}}},
		"status of a job that waits": {commands: []string{"status sums"}, answers: map[string][]string{"GetService": {
			waitingJob(`"at_least": true, "why": "nothing that asks for the same got a place lately"`),
		}}},
		"status of a job that may start soon": {commands: []string{"status sums", "status sums --json"}, answers: map[string][]string{"GetService": {
			waitingJob(`"users": ["anna", ""], "expected_start": "2026-03-01T12:02:30Z", "why": "if jobs go on to get places as the newest 64 did, in 8s"`),
		}}},
		"status of a daemon": {commands: []string{"status load"}, answers: map[string][]string{"GetService": {`{"service": {
			"service": {"name": "load", "kind": "SPEC_KIND_DAEMON", "revision": "2"}, "state": "running", "ready": 3, "wanted": 3}}`}}},
	})
}

// waitingJob is a job that waits, with these fields of its turn.
func waitingJob(fields string) string {
	return `{"service": {
		"service": {"name": "sums", "kind": "SPEC_KIND_JOB", "revision": "1", "run": "1", "result": "JOB_RESULT_UNDERWAY"}, "state": "pending",
		"reason": "1 agent short of cpus by 2",
		"turn": {"task": "sums-1-1", "place": 1001, "waiting": 20000, "first": "old-1-7", "pool": "batch", ` + fields + `}}}`
}

func TestActions(t *testing.T) {
	t.Parallel()
	tellAll(t, map[string]story{
		"scale":   {commands: []string{"scale web 8", "scale web 0 --if-version 17 --json"}},
		"restart": {commands: []string{"restart web", "restart web --json"}},
		"stop":    {commands: []string{"stop web", "stop web --remove", "stop web --json"}},
		"steering of deployments": {commands: []string{
			"pause web-6", "pause web-6 --json", "resume web-6", "resume web-6 --json", "abort web-6", "abort web-6 --json",
		}},
		"abort of a first deployment": {commands: []string{"abort web-1"}, answers: map[string][]string{"AbortDeployment": {"{}"}}},
		"changes of pools": {commands: []string{
			"pools create web --quantity cpus=8,mem=16GiB --quantity ports=20000-20099,30000 --priority 10",
			"pools create web --json",
			"pools set web --priority 5",
			"pools set web --quantity mem=unbounded,gpus=2 --if-version 3 --json",
			"pools set other --priority 5",
			"pools delete web",
			"pools delete web --if-version 4 --json",
		}},
	})
}

func TestFiles(t *testing.T) {
	t.Parallel()
	spec := "service: web\nrun:\n  command: [./web]\n"
	tellAll(t, map[string]story{
		"validate": {commands: []string{
			"validate testdata/spec/web.yaml", "validate testdata/spec/web.yaml --json",
			"validate testdata/spec/bad.yaml testdata/spec/web.yaml", "validate testdata/spec/bad.yaml --json",
			"validate testdata/spec/none.yaml", "validate -", "validate - --json",
		}, stdin: spec},
		"plan": {commands: []string{"plan testdata/spec/web.yaml", "plan testdata/spec/web.yaml --json", "plan testdata/spec/bad.yaml"}},
		"plan that is refused": {commands: []string{"plan -"}, stdin: spec, answers: map[string][]string{
			"Plan": {"error not_found: web: unknown pool gold: there is spare, web"},
		}},
	})
}
