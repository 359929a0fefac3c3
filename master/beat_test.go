package master_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectionsBeatApart: agents that came at one moment are not all spoken to at one
// moment, but those that share a connection are.
func TestConnectionsBeatApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		var pairs [8][2]*rawSession
		for i := range pairs {
			shared := n.client()
			for j := range pairs[i] {
				pairs[i][j] = n.open(shared)
				pairs[i][j].send(quiet(small(fmt.Sprintf("a%d%d", i, j))))
			}
		}
		time.Sleep(25 * time.Second)

		var first []time.Time
		for i, pair := range pairs {
			one, other := pair[0].beats(), pair[1].beats()
			if len(one) < 2 || !slices.Equal(one, other) {
				t.Fatalf("on connection %d one agent is spoken to at %v, the other at %v", i, one, other)
			}
			first = append(first, one[0])
		}
		if apart := slices.MaxFunc(first, time.Time.Compare).Sub(slices.MinFunc(first, time.Time.Compare)); apart < time.Second {
			t.Errorf("all connections are within %v", apart)
		}
	})
}
