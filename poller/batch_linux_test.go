package poller_test

import (
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/poller"
)

// look is what a hand has found next in a batch.
type look struct {
	of    poller.Token
	bits  uint32
	state uint64
	ok    bool
}

// TestEachNewsIsTakenOnce: of what a hand is told each is taken by one hand, whole, and in order,
// whatever the others take, and however often the batch is filled, while one is about to.
func TestEachNewsIsTakenOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			batch poller.Batch
			hands [3]look
			left  []unix.EpollEvent // of what was told, nobody has taken it
			told  int32
		)
		anyHand := rapid.IntRange(0, len(hands)-1)
		t.Repeat(map[string]func(*rapid.T){
			"fill": func(t *rapid.T) {
				if len(left) > 0 {
					t.Skip("only an empty one is filled")
				}
				for range rapid.IntRange(1, poller.BatchMax).Draw(t, "many") {
					told++
					left = append(left, unix.EpollEvent{Fd: told, Pad: -told, Events: 1<<31 + uint32(told)})
				}
				batch.Fill(left)
			},
			"look": func(t *rapid.T) {
				h := &hands[anyHand.Draw(t, "hand")]
				h.of, h.bits, h.state, h.ok = batch.Look()
				if h.ok != (len(left) > 0) {
					t.Fatalf("something is left: %t, of %d", h.ok, len(left))
				}
			},
			"claim": func(t *rapid.T) {
				h := hands[anyHand.Draw(t, "hand")]
				if !h.ok || !batch.Claim(h.state) {
					return
				}
				if len(left) == 0 || h.of != poller.TokenOf(left[0]) || h.bits != left[0].Events {
					t.Fatalf("%+v is taken of %+v", h, left)
				}
				left = left[1:]
			},
			"look and claim": func(t *rapid.T) {
				of, _, state, ok := batch.Look()
				if !ok {
					return
				}
				if !batch.Claim(state) || of != poller.TokenOf(left[0]) {
					t.Fatalf("with nobody beside it a hand cannot take %+v", left[0])
				}
				left = left[1:]
			},
		})
	})
}
