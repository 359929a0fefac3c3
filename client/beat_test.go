package client_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestClientsBeatApart: the quiet sessions of clients that began at one moment do not all
// speak at one moment, but those of one client do.
func TestClientsBeatApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads := newNetwork(t), &leader{}
		var mu sync.Mutex // guards beats
		beats := make(map[string][]time.Time)
		leads.session = func(_ context.Context, stream *agentStream) error {
			join, err := stream.Receive()
			if err != nil {
				return err
			}
			if err := stream.Send(calm()); err != nil {
				return err
			}
			for {
				if _, err := stream.Receive(); err != nil {
					return err
				}
				mu.Lock()
				name := join.GetJoin().GetAgent().GetId()
				beats[name] = append(beats[name], time.Now())
				mu.Unlock()
			}
		}
		n.serve("m1:1", leads.handler())
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
		defer cancel()
		var sessions sync.WaitGroup
		hold := func(c *client.Client, name string) {
			sessions.Go(func() {
				_ = c.AgentSession(ctx, &pb.AgentJoin{Agent: &pb.Agent{Id: name}}, nil, func(*pb.SessionResponse) {})
			})
		}
		pairs := [][2]string{{"a", "A"}, {"b", "B"}, {"c", "C"}, {"d", "D"}, {"e", "E"}, {"f", "F"}, {"g", "G"}, {"h", "H"}}
		for _, pair := range pairs {
			c := n.open("m1:1")
			hold(c, pair[0])
			hold(c, pair[1])
		}
		sessions.Wait()

		var first []time.Time
		for _, pair := range pairs {
			one, other := beats[pair[0]], beats[pair[1]]
			if len(one) < 2 || !slices.Equal(one, other) {
				t.Fatalf("of one client the sessions speak at %v and at %v", one, other)
			}
			first = append(first, one[0])
		}
		if apart := slices.MaxFunc(first, time.Time.Compare).Sub(slices.MinFunc(first, time.Time.Compare)); apart < time.Second {
			t.Errorf("all clients are within %v", apart)
		}
	})
}
