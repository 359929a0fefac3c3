package cli_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aloft-run/aloft/cli"
)

// colours finds what gives text a colour.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestLiveView draws two deployments from their beginning to their ends.
func TestLiveView(t *testing.T) {
	t.Parallel()
	for _, width := range []int{120, 40} {
		var story strings.Builder
		view := cli.NewLive(2, width)
		show := func(what string) {
			fmt.Fprintf(&story, "-- %s\n%s", what, colours.ReplaceAllString(view.View(), ""))
			view.Beat()
		}

		show("nothing is known")
		view.Step(0, "web", 3, 4, 0, 4, 4, "")
		show("web has begun")
		view.Step(0, "web", 3, 4, 1, 4, 4, "web-4-7: not ready: http probe: status 503")
		view.Step(1, "api", 0, 1, 0, 0, 0, "")
		show("web waits, api wants nothing yet")
		view.Step(0, "web", 3, 4, 4, 4, 5, "")
		view.Step(1, "batch", 0, 0, 2, 3, 0, "")
		show("a job beside it")
		view.Step(0, "web", 3, 4, 6, 4, 5, "")
		show("scaled down meanwhile")
		view.End(0, "web: revision 4 is in service, 4 ready, 2.3s", true)
		view.End(1, "batch: failed, 3s", false)
		show("the ends")

		compareGolden(t, fmt.Sprintf("live-%d", width), story.String())
		for line := range strings.Lines(story.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line of %d on a terminal of %d: %q", n, width, line)
			}
		}
	}
}
