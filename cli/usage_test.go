package cli_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
)

// Every wrong command line says which part is wrong, what was found and what
// would be right, and asks nothing of a master.
func TestUsage(t *testing.T) {
	t.Parallel()
	compareGolden(t, "usage", story{commands: []string{
		"nope", "help nope", "services web", "status web api", "history", "scale web", "scale web many", "scale web 8 9", "scale web 99999999999",
		"services --nope", "drain a1 --deadline soon", "drain a1 --deadline=-5m", "drain a1 --timeout=-5m", "rebalance --moves 0", "rebalance --detach --dry-run", "logs web -n -3", "logs web -f --previous",
		"deploy", "deploy --detach --wait testdata/spec/web.yaml", "deploy testdata/spec", "rollback web --to two", "run", "run -- ",
		"run --cpus much -- true", "run --mem 1parsec -- true", "run --env A -- true", "validate",
		"pools create", "pools create web --quantity cpus", "pools create web --quantity cpus=-1", "pools create web --quantity cpus=1,cpus=2",
		"pools set web", "pools nope", "--addr ftp://x status", "schema web",
		"breaker now", "breaker release web now", "breaker set", "breaker set --limit much", "breaker set --limit 100%", "breaker set --window soon",
		"masters nope", "masters add m4", "masters add =http://10.0.0.4:7118", "masters remove", "masters replace m4=",
	}}.tell(t))
}

// Of several masters the next is asked when one cannot be reached.
func TestSeveralMasters(t *testing.T) {
	t.Parallel()
	f := startFake(t, nil)
	f.url = "127.0.0.1:1," + f.url

	done := f.execute(t, "", "services")

	if done.code != cli.ExitOK || len(f.taken()) != 1 {
		t.Errorf("exit %d, stderr %q", done.code, done.err)
	}
}

// Each code of the API leads to one exit code.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[connect.Code]int{
		connect.CodeCanceled: cli.ExitFailed, connect.CodeUnknown: cli.ExitFailed, connect.CodeInvalidArgument: cli.ExitUsage,
		connect.CodeDeadlineExceeded: cli.ExitFailed, connect.CodeNotFound: cli.ExitNotFound, connect.CodeAlreadyExists: cli.ExitConflict,
		connect.CodePermissionDenied: cli.ExitFailed, connect.CodeResourceExhausted: cli.ExitFailed, connect.CodeFailedPrecondition: cli.ExitConflict,
		connect.CodeAborted: cli.ExitConflict, connect.CodeOutOfRange: cli.ExitUsage, connect.CodeUnimplemented: cli.ExitFailed,
		connect.CodeInternal: cli.ExitFailed, connect.CodeUnavailable: cli.ExitUnreachable, connect.CodeDataLoss: cli.ExitFailed,
		connect.CodeUnauthenticated: cli.ExitFailed,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			f := startFake(t, map[string][]string{"Restart": {fmt.Sprintf("error %s: not today", code)}})

			done := f.execute(t, "", "restart", "web")

			if done.code != want || done.err != "aloft: not today\n" || done.out != "" {
				t.Errorf("exit %d, stdout %q, stderr %q; want exit %d", done.code, done.out, done.err, want)
			}
		})
	}
}

// Without a master every command that needs one says where it looked.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"services", "status", "status -w web", "deploy testdata/spec/web.yaml", "logs web", "logs -f web", "events -f", "run -- true", "pools set web --priority 1",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			f := &fake{url: "http://127.0.0.1:1", clock: &clock{now: noon}}

			done := f.execute(t, "", strings.Fields(command)...)

			if done.code != cli.ExitUnreachable || !strings.HasPrefix(done.err, "aloft: no master answered: 127.0.0.1:1 ") ||
				!strings.Contains(done.err, "ALOFT_ADDR") {
				t.Errorf("exit %d, stderr %q", done.code, done.err)
			}
		})
	}
}

// The flag wins over the variable, and the variable over the default.
func TestAddress(t *testing.T) {
	f := startFake(t, nil)
	t.Setenv("ALOFT_ADDR", f.url)
	root := func(args ...string) (*cobra.Command, *bytes.Buffer) {
		var out bytes.Buffer
		root := cli.New(cli.Config{Version: "v1.2.3", Out: &out, Err: &out})
		root.SetArgs(args)
		return root, &out
	}

	byVariable, out := root("services")
	code := cli.Execute(t.Context(), byVariable, out)
	byFlag, outOfFlag := root("services", "--addr", "127.0.0.1:1")
	codeOfFlag := cli.Execute(t.Context(), byFlag, outOfFlag)

	if code != cli.ExitOK || len(f.taken()) != 1 {
		t.Errorf("by the variable: exit %d, %s", code, out)
	}
	if codeOfFlag != cli.ExitUnreachable {
		t.Errorf("by the flag: exit %d, %s", codeOfFlag, outOfFlag)
	}
}

// Every command tells what it is for and shows a command line that it takes.
func TestHelp(t *testing.T) {
	t.Parallel()
	f := startFake(t, nil)
	root := cli.New(cli.Config{Version: "v1.2.3"})

	compareGolden(t, "help", story{commands: []string{"--help", "deploy --help", "pools --help"}}.tell(t))

	for cmd := range commands(root) {
		help := f.execute(t, "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if cmd.Short == "" || !strings.Contains(help.out, "Examples:\n  aloft ") || help.code != cli.ExitOK {
			t.Errorf("%s: no example in its help:\n%s", cmd.CommandPath(), help.out)
		}
		for line := range strings.Lines(cmd.Example) {
			named, _, _ := root.Find(strings.Fields(line)[1:])
			if path := cmd.CommandPath(); cmd != root && !strings.HasPrefix(named.CommandPath(), path) {
				t.Errorf("%s: the example %q is one of %s", path, strings.TrimSpace(line), named.CommandPath())
			}
		}
	}
}

// commands goes through a command and all that hang on it.
func commands(cmd *cobra.Command) func(func(*cobra.Command) bool) {
	return func(yield func(*cobra.Command) bool) {
		if !yield(cmd) {
			return
		}
		for _, child := range cmd.Commands() {
			if child.Name() != "help" && child.Name() != "completion" {
				commands(child)(yield)
			}
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		f := startFake(t, nil)

		done := f.execute(t, "", "completion", shell)

		if done.code != cli.ExitOK || len(done.out) < 1000 || !strings.Contains(done.out, "aloft") {
			t.Errorf("%s: exit %d, %d bytes", shell, done.code, len(done.out))
		}
	}
}

// The shell completes names by asking the master, and only the first argument.
func TestCompletionOfNames(t *testing.T) {
	t.Parallel()
	tellAll(t, map[string]story{"completion of names": {commands: []string{
		`__complete status ""`, `__complete scale web ""`, `__complete pause ""`, `__complete drain ""`, `__complete pools set ""`,
	}}})
}

func TestSchema(t *testing.T) {
	t.Parallel()
	f := startFake(t, nil)

	done := f.execute(t, "", "schema")

	if done.code != cli.ExitOK || !strings.HasPrefix(done.out, "{") || len(f.taken()) > 0 {
		t.Errorf("exit %d: %.100s", done.code, done.out)
	}
	if !slices.Contains(strings.Fields(done.out), `"$schema":`) {
		t.Errorf("no $schema in %.200s", done.out)
	}
}
