package builds_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
)

func TestAReleaseCanBeDeployed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()

	release, err := builds.Build(t.Context(), "../..", folder, "v7")
	if err != nil {
		t.Fatal(err)
	}
	file, err := release.Spec(builds.Deploy{
		Instances: 3, Arguments: []string{"--exit-at-once"}, Settle: 2 * time.Second, Deadline: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"service: hello\n", "instances: 3\n", "settle: 2s, deadline: 1m0s}",
		`command: ["./hello", "--listen", "127.0.0.1:${PORT_HTTP}", "--exit-at-once"]`,
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("the spec has no %q:\n%s", want, content)
		}
	}
	found := regexp.MustCompile(`url: "file://(\S+)", sha256: (\S+), dest: hello, executable: true}`).FindStringSubmatch(string(content))
	if found == nil {
		t.Fatalf("the spec fetches no program:\n%s", content)
	}
	program, err := os.ReadFile(found[1])
	if sum := fmt.Sprintf("%x", sha256.Sum256(program)); err != nil || sum != found[2] {
		t.Errorf("the program's digest is %s, %v; the spec says %s", sum, err, found[2])
	}
	output, _ := exec.CommandContext(t.Context(), found[1], "--exit-at-once").CombinedOutput()
	if string(output) != "hello: told to exit at once\n" {
		t.Errorf("the program wrote %q", output)
	}
}
