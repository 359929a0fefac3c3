package router_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

const (
	cutMachine = "ALOFT_TEST_CUT_MACHINE" // set in the process that is cut off: the address to serve
	cutRouter  = "ALOFT_TEST_CUT_ROUTER"  // set in the process with the router: the namespace to cut off
	cutAddress = "10.77.0.2:8000"
)

// TestACutLosesNoGET: a machine with one of four instances is cut off under load,
// in such a way that nothing is refused: its packets are dropped. No GET fails,
// with no master there to tell, and when the cut ends the instance is used again.
// A POST that waits there is answered when nothing was heard for long enough, and
// earlier if the masters have given the instance up, too.
//
// The test runs itself twice more, in a network namespace of its own each time.
func TestACutLosesNoGET(t *testing.T) {
	t.Parallel()
	switch {
	case os.Getenv(cutMachine) != "":
		serveUntilEOF(t, os.Getenv(cutMachine))
		return
	case os.Getenv(cutRouter) != "":
		routeAcrossACut(t, os.Getenv(cutRouter))
		return
	case os.Geteuid() != 0:
		t.Skip("network namespaces want root")
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the cut is made by %s: %v", tool, err)
		}
	}
	here, there := fmt.Sprintf("aloft-router-%d", os.Getpid()), fmt.Sprintf("aloft-machine-%d", os.Getpid())
	for _, namespace := range []string{here, there} {
		if err := exec.Command("ip", "netns", "add", namespace).Run(); err != nil {
			t.Skipf("no network namespace can be made: %v", err)
		}
		t.Cleanup(func() { command(t, "ip netns del "+namespace) })
	}
	command(t, "ip -n "+here+" link add v0 type veth peer name v0 netns "+there)
	for namespace, address := range map[string]string{here: "10.77.0.1/24", there: "10.77.0.2/24"} {
		command(t, "ip -n "+namespace+" link set lo up")
		command(t, "ip -n "+namespace+" addr add "+address+" dev v0")
		command(t, "ip -n "+namespace+" link set v0 up")
	}

	machine := again(t, there, cutMachine+"="+cutAddress)
	stdin, err := machine.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop(stdin)
		if err := machine.Wait(); err != nil {
			t.Errorf("the machine: %v", err)
		}
	})
	report, err := again(t, here, cutRouter+"="+there).CombinedOutput()
	t.Logf("%s", report)
	if err != nil {
		t.Error(err)
	}
}

// command runs what needs no answer.
func command(t *testing.T, line string) {
	t.Helper()
	argv := strings.Fields(line)
	if text, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", line, err, text)
	}
}

// again is this test in a namespace.
func again(t *testing.T, namespace, setting string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", namespace, self, "-test.run=^TestACutLosesNoGET$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), setting)
	return cmd
}

// serveUntilEOF is the machine that is cut off.
func serveUntilEOF(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	reply := named("far")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body) // for the server to see that the client leaves
			<-r.Context().Done()
		}
		reply(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	drop(server)
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// routeAcrossACut is the process with the router and the other three instances.
func routeAcrossACut(t *testing.T, there string) {
	t.Helper()
	r := start(t, router.Config{MachineTimeout: 6 * time.Second})
	far := route.Endpoint{Task: "far", Revision: 1, Address: cutAddress}
	eventually(t, "the machine serves", func() bool {
		conn, err := net.DialTimeout("tcp", cutAddress, time.Second)
		if err == nil {
			drop(conn)
		}
		return err == nil
	})
	waiting := route.Service{Name: "waiting", Rules: []route.Rule{{Path: "/waiting"}}, Endpoints: []route.Endpoint{far}}
	lost := route.Service{Name: "lost", Rules: []route.Rule{{Path: "/lost"}}, Endpoints: []route.Endpoint{{Task: "lost", Revision: 1, Address: cutAddress}}}
	others := hello(far, backend(t, "t1", named("near")), backend(t, "t2", named("near")), backend(t, "t3", named("near")))
	r.apply(t, waiting, others, lost)
	var all, distant, failed, slowest atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 16 {
		client := newClient(t)
		load.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-stop:
					return
				case <-pace.C:
				}
				began := time.Now()
				got, err := do(client, http.MethodGet, "http://"+r.addr, "")
				if all.Add(1); err != nil || got.status != http.StatusOK {
					failed.Add(1)
					t.Errorf("answer %d %q, %v", got.status, got.body, err)
				}
				if got.body == "far" {
					distant.Add(1)
				}
				for took := int64(time.Since(began)); took > slowest.Load(); {
					slowest.Store(took)
				}
			}
		})
	}
	endpoint := func(service int) router.EndpointStatus { return r.Status().Services[service].Endpoints[0] }
	ejected := func() bool { return endpoint(1).Ejected }

	post := func(path string) <-chan answer {
		posted := make(chan answer, 1)
		load.Go(func() {
			got, err := do(newClient(t), http.MethodPost, "http://"+r.addr+path, "x")
			if err != nil || got.status != http.StatusBadGateway || got.header.Get(router.ReasonHeader) != string(router.Broken) {
				t.Errorf("the POST to %s got %d %q, %v", path, got.status, got.body, err)
			}
			posted <- got
		})
		return posted
	}
	for range 2 {
		before := distant.Load()
		eventually(t, "the far instance answers", func() bool { return distant.Load() >= before+50 })
		posted, given := post("/waiting"), post("/lost")
		eventually(t, "the POSTs wait", func() bool { return endpoint(0).InFlight == 1 && endpoint(2).InFlight == 1 })
		command(t, "ip netns exec "+there+" iptables -A INPUT -i v0 -j DROP")
		eventually(t, "the far instance is ejected", ejected)
		cut := all.Load()
		eventually(t, "500 requests during the cut", func() bool { return all.Load() >= cut+500 })
		eventually(t, "nothing waits for the far instance", func() bool { return endpoint(1).InFlight == 0 })
		suspected := lost
		suspected.Endpoints = []route.Endpoint{lost.Endpoints[0]}
		suspected.Endpoints[0].Suspect = true
		r.apply(t, waiting, others, suspected)
		r.apply(t, waiting, others)
		<-given
		if endpoint(0).InFlight != 1 {
			t.Error("the POST to an instance that nobody has given up has ended")
		}
		<-posted
		r.apply(t, waiting, others, lost)
		command(t, "ip netns exec "+there+" iptables -F INPUT")
		eventually(t, "the far instance is used again", func() bool { return !ejected() })
	}
	close(stop)
	load.Wait()

	t.Logf("%d requests, %d failed, %d of them answered far away; the slowest took %v", all.Load(), failed.Load(), distant.Load(), time.Duration(slowest.Load()))
}
