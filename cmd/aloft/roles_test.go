package main_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/prefault"
)

// TestWhatStaysIsNoCommand: of all that the help tells of, the parts of a cluster are what memory is
// not asked for in advance, and of what it does not tell of the supervisor.
func TestWhatStaysIsNoCommand(t *testing.T) {
	t.Parallel()
	help, err := exec.CommandContext(t.Context(), buildOnce(t), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, roles := regexp.MustCompile(`^  ([a-z]+)  `), false
	count := map[bool]int{}
	for text := range strings.Lines(string(help)) {
		if !strings.HasPrefix(text, " ") {
			roles = text == "Run a cluster:\n"
		}
		if name := line.FindStringSubmatch(text); name != nil {
			count[roles]++
			if prefault.IsCommand([]string{"aloft", name[1]}) == roles {
				t.Errorf("%s is taken for the other kind", name[1])
			}
		}
	}
	if count[true] < 4 || count[false] < 20 || prefault.IsCommand([]string{"aloft", "supervisor"}) {
		t.Errorf("the help tells of %d parts and %d commands:\n%s", count[true], count[false], help)
	}
}
