package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/cli"
)

// TestMovingInterrupted interrupts what follows instances that move: a drain goes
// on, and the moves of a rebalance are taken back.
func TestMovingInterrupted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		command string
		answers map[string][]string
		asked   string // the last call
		says    string
	}{
		"drain": {
			"drain a2",
			map[string][]string{"GetAgent": {residents(true, `{"service": "web", "tasks": 1}`), "interrupt"}},
			"GetAgent ", "a2: the drain goes on;",
		},
		"rebalance": {
			"rebalance",
			map[string][]string{"Rebalance": {planned}, "ListMoves": {moves("STARTS", "WAITS"), "interrupt"}, "AbortMoves": {"{}"}},
			`AbortMoves {"services":["web"`, "the moves that were not over are taken back",
		},
		"rebalance that nobody can take back": {
			"rebalance",
			map[string][]string{"Rebalance": {planned}, "ListMoves": {"interrupt"}, "AbortMoves": {"error internal: broken"}},
			"AbortMoves ", "the moves go on, for they could not be taken back: broken",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, tc.answers)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			f.interrupt = interrupt

			done := f.executeWithin(ctx, "", strings.Fields(tc.command)...)

			if done.code != cli.ExitInterrupted || !strings.HasPrefix(done.err, tc.says) {
				t.Errorf("exit %d, %q; want 130 and %q", done.code, done.err, tc.says)
			}
			if asked := f.taken(); !slices.ContainsFunc(asked, func(call string) bool { return strings.HasPrefix(call, tc.asked) }) {
				t.Errorf("asked %q, want %q", asked, tc.asked)
			}
		})
	}
}
