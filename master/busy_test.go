package master_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// TestTooManyCallsAreAskedToComeBack has more calls come than may wait while a commit
// takes long: those too many are refused at once and say when to come back, and with
// the client, which does, all are done.
func TestTooManyCallsAreAskedToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most, calls = 3, 10
		j := keepJournal(t)
		j.delay = time.Second
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{CallsMax: most})
		bare := aloftv1connect.NewClusterServiceClient(n.http(), "http://m1")
		set := func(api aloftv1connect.ClusterServiceClient, name string) error {
			_, err := api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: name}}))
			return err
		}
		n.leads()

		var refused, done atomic.Int32
		var calling sync.WaitGroup
		for i := range calls {
			calling.Go(func() {
				err := set(bare, fmt.Sprintf("bare-%d", i))
				refusal, coded := errors.AsType[*connect.Error](err)
				switch {
				case err == nil:
					done.Add(1)
				case coded && refusal.Code() == connect.CodeResourceExhausted && refusal.Meta().Get(master.BusyHeader) != "":
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		calling.Wait()

		if done.Load() != most || refused.Load() != calls-most {
			t.Errorf("%d calls were done and %d refused, want %d and %d", done.Load(), refused.Load(), most, calls-most)
		}
		for i := range calls {
			calling.Go(func() {
				if err := set(n.api, fmt.Sprintf("patient-%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
	})
}

// TestCallsPassWhatAgentsSay has very many agents have something to say while a commit
// takes long: a call that comes after all of them does not wait for all of them.
func TestCallsPassWhatAgentsSay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents = 4 * master.WordsMax
		j := keepJournal(t)
		j.delay = time.Second
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})
		n.leads()
		var heard atomic.Int32
		var saying sync.WaitGroup
		for i := range agents {
			saying.Go(func() {
				joined := engine.AgentJoined{Agent: ledger.Agent{ID: id.Agent(fmt.Sprint("a", i))}, BootID: "boot", Hostname: "host"}
				if err := n.master.Hear(t.Context(), joined); err != nil {
					t.Error(err)
				}
				heard.Add(1)
			})
		}
		synctest.Wait()

		_, err := n.master.Submit(t.Context(), engine.SetPool{Pool: ledger.Pool{ID: "p"}})

		if before := heard.Load(); err != nil || before > 2*master.WordsMax {
			t.Errorf("%d of %d agents were heard before a call, which returned %v", before, agents, err)
		}
		saying.Wait()
	})
}
