package main_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// historySeed plays a history's faults again.
var historySeed = flag.Uint64("history-seed", 0, "seed of the faults of a history (default: a new one)")

// The size of a history.
const (
	historyClients  = 6
	historyServices = 3
	historyWaiting  = 4                    // calls of each kind for a master that is halted
	historyPause    = 5 * time.Millisecond // between two calls of a client
	historyCall     = 8 * time.Second      // after which a client does not wait for the outcome any more
	historyCheck    = time.Minute
	historyAgain    = 5
	historySent     = 200 * time.Millisecond // for calls to reach a master that is halted
)

// TestHistoryIsLinearizable has several clients deploy, scale, stop, remove and read
// services through all of three real masters, while those, leading or not, are killed,
// halted and told to stop. What they saw is what one machine could have said, one call after the
// other. The outcome of a call that nobody knows is left open.
func TestHistoryIsLinearizable(t *testing.T) {
	t.Parallel()
	seed := cmp.Or(*historySeed, rand.Uint64())
	t.Logf("again with -history-seed=%d", seed)
	three := startMasters(t, 3)
	h := &history{began: time.Now()}
	for i := range historyServices {
		three.deploy(nameOf(i))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var calling sync.WaitGroup
	for i := range historyClients {
		calling.Go(func() {
			h.run(ctx, three.client(i), i, rand.New(rand.NewPCG(seed, uint64(i)+1)))
		})
	}

	three.harm(rand.New(rand.NewPCG(seed, 0)), h)
	stop()
	calling.Wait()

	h.check(t)
}

func nameOf(service int) string { return fmt.Sprintf("s%d", service) }

// history is what clients asked and were told.
type history struct {
	began time.Time

	mu         sync.Mutex // guards all below
	operations []porcupine.Operation
	open       int // operations of which nobody knows the outcome
}

// run makes calls until ctx is done.
func (h *history) run(ctx context.Context, api aloftv1connect.ClusterServiceClient, number int, dice *rand.Rand) {
	versions := make(map[int]int64) // that this client has seen last
	for ctx.Err() == nil {
		service := dice.IntN(historyServices)
		input := drawCall(dice, service, versions[service])
		asked := time.Since(h.began)
		output, told := tell(ctx, api, input)
		if told {
			h.add(number, input, output, asked)
		}
		if output.kept.version > 0 {
			versions[service] = output.kept.version
		}
		select {
		case <-time.After(historyPause):
		case <-ctx.Done():
		}
	}
}

// waitAt makes calls to a master that is halted, and returns a function that waits
// for what it tells when it goes on.
func (h *history) waitAt(api aloftv1connect.ClusterServiceClient) (told func()) {
	var waiting sync.WaitGroup
	for i := range historyWaiting * historyServices {
		for _, verb := range []historyVerb{verbGet, verbList, verbScale, verbDeploy} {
			waiting.Go(func() {
				for range historyAgain { // the connection ends when it goes on
					input, asked := callInput{verb: verb, service: i % historyServices, number: 100}, time.Since(h.began)
					if verb == verbDeploy {
						input.number += int32(i) // another spec
					}
					if output, told := tell(context.Background(), api, input); told {
						h.add(-1, input, output, asked)
						return
					}
				}
			})
		}
	}
	<-time.After(historySent)
	return waiting.Wait
}

// add writes an operation down. One whose outcome is unknown may happen at any
// time after it was asked, and its client is taken for another one from then on.
func (h *history) add(number int, input callInput, output callOutput, asked time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	operation := porcupine.Operation{
		ClientId: number, Input: input, Call: int64(asked), Output: output, Return: int64(time.Since(h.began)),
	}
	if output.answer == answerOpen {
		h.open++
		operation.ClientId, operation.Return = historyClients+h.open, int64(time.Hour)
	}
	h.operations = append(h.operations, operation)
}

// check fails the test unless the history is linearizable and says something.
func (h *history) check(t *testing.T) {
	t.Helper()
	result := porcupine.CheckOperationsTimeout(model, h.operations, historyCheck)
	t.Logf("%d operations, of which the outcome of %d is not known: %s", len(h.operations), h.open, result)
	if result == porcupine.Ok && len(h.operations) > 10*h.open && len(h.operations) > 200 {
		return
	}
	_, info := porcupine.CheckOperationsVerbose(model, h.operations, historyCheck) // many times slower
	file := filepath.Join(os.TempDir(), fmt.Sprintf("aloft-history-%d.html", os.Getpid()))
	t.Errorf("the history of %d operations is %s; %s shows it: %v", len(h.operations), result, file, porcupine.VisualizePath(model, info, file))
}

// masters are masters of the real binary.
type masters struct {
	*testing.T

	binary, dir string
	api, peer   string // ports
	running     []*exec.Cmd
	ended       []chan struct{}
}

// newMasters returns masters that have not started.
func newMasters(t *testing.T, number int) *masters {
	t.Helper()
	m := &masters{
		T: t, binary: buildOnce(t), dir: t.TempDir(), api: freePort(t), peer: freePort(t),
		running: make([]*exec.Cmd, number), ended: make([]chan struct{}, number),
	}
	t.Cleanup(func() { endAll(t, m.dir) })
	return m
}

// startMasters starts a cluster of masters, and waits until one leads.
func startMasters(t *testing.T, number int) *masters {
	t.Helper()
	m := newMasters(t, number)
	for i := range m.running {
		m.start(i)
	}
	m.leader()
	return m
}

func (*masters) address(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }

// start starts a master, counted from 0.
func (m *masters) start(i int) {
	m.Helper()
	var cluster []string
	for n := range m.running {
		cluster = append(cluster, fmt.Sprintf("m%d=http://%s:%s", n+1, m.address(n), m.peer))
	}
	name := fmt.Sprintf("m%d", i+1)
	log, err := os.OpenFile(filepath.Join(m.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(m.binary, "master", "--name", name, "--listen", net.JoinHostPort(m.address(i), m.api),
		"--data-dir", filepath.Join(m.dir, name), "--cluster", strings.Join(cluster, ","))
	cmd.Dir, cmd.Stderr = m.dir, log
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process, which endAll ends
		defer close(ended)
		_ = cmd.Wait()
	}()
	m.running[i], m.ended[i] = cmd, ended
}

// client returns the API through one master first, and then the others.
func (m *masters) client(first int) aloftv1connect.ClusterServiceClient {
	m.Helper()
	var addresses []string
	for i := range m.running {
		addresses = append(addresses, net.JoinHostPort(m.address((first+i)%len(m.running)), m.api))
	}
	return m.connect(addresses...)
}

// only returns the API through one master and no other.
func (m *masters) only(i int) aloftv1connect.ClusterServiceClient {
	m.Helper()
	return m.connect(net.JoinHostPort(m.address(i), m.api))
}

func (m *masters) connect(addresses ...string) aloftv1connect.ClusterServiceClient {
	m.Helper()
	c, err := client.New(addresses...)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(c.Close)
	return c.Cluster()
}

// deploy deploys a service that has no place.
func (m *masters) deploy(name string) {
	m.Helper()
	file := &pb.SpecFile{Name: "spec.yaml", Text: []byte(historySpec(name, 0))}
	if _, err := m.client(0).Deploy(m.Context(), connect.NewRequest(&pb.DeployRequest{Files: []*pb.SpecFile{file}})); err != nil {
		m.Fatal(err)
	}
}

// leader waits until some master leads, and returns which.
func (m *masters) leader() int {
	m.Helper()
	api := m.client(0)
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(m.Context(), historyCall)
		var info *connect.Response[pb.GetInfoResponse]
		info, err = api.GetInfo(ctx, connect.NewRequest(&pb.GetInfoRequest{}))
		cancel()
		if err == nil {
			return int(info.Msg.GetMaster()[1] - '1')
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-m.Context().Done():
		}
	}
	m.Fatalf("nobody leads: %v", err)
	return 0
}

// blow is what is done to a master.
type blow struct {
	signal  syscall.Signal
	leading bool // to the leader, else to one that stands by
}

// blows are those of one history: dice say only in which order they come.
func blows(dice *rand.Rand) []blow {
	all := []blow{
		{syscall.SIGKILL, true},
		{syscall.SIGKILL, true},
		{syscall.SIGKILL, false},
		{syscall.SIGKILL, false},
		{syscall.SIGTERM, true},
		{syscall.SIGTERM, false},
		{syscall.SIGSTOP, true},
		{syscall.SIGSTOP, true},
		{syscall.SIGSTOP, false},
	}
	dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// harm deals the masters one blow after the other. A leader that was halted finds
// calls that have waited for it when it goes on. At the end all masters run.
func (m *masters) harm(dice *rand.Rand, h *history) {
	m.Helper()
	for _, next := range blows(dice) {
		was := m.leader()
		if !next.leading {
			was = (was + 1 + dice.IntN(len(m.running)-1)) % len(m.running)
		}
		<-time.After(time.Duration(dice.IntN(500)) * time.Millisecond) // so that blows meet all moments of a call
		m.Logf("%s to m%d, which leads: %t", next.signal, was+1, next.leading)
		direct := m.only(was)
		_, _ = tell(m.Context(), direct, callInput{}) // so that there is a connection
		m.signal(was, next.signal)
		if next.signal != syscall.SIGSTOP {
			<-m.ended[was]
			m.leader()
			m.start(was)
			continue
		}
		m.otherThan(was)
		waiting := h.waitAt(direct)
		m.signal(was, syscall.SIGCONT)
		waiting()
	}
	m.leader()
}

func (m *masters) signal(i int, signal syscall.Signal) {
	m.Helper()
	if err := m.running[i].Process.Signal(signal); err != nil {
		m.Fatal(err)
	}
}

// otherThan waits until a master leads that is not halted.
func (m *masters) otherThan(halted int) {
	m.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if m.leader() != halted {
			return
		}
	}
	m.Fatalf("m%d, which is halted, leads", halted+1)
}
