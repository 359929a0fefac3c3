package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		given, want string // want "" for an address that is refused
	}{
		"a URL":                {"http://127.0.0.1:7117", "http://127.0.0.1:7117"},
		"a URL with a slash":   {"http://127.0.0.1:7117/", "http://127.0.0.1:7117"},
		"host and port":        {"10.0.0.1:7117", "http://10.0.0.1:7117"},
		"a name":               {"https://masters.example.com", "https://masters.example.com:7117"},
		"only a host":          {"127.0.0.1", "http://127.0.0.1:7117"},
		"an empty port":        {"127.0.0.1:", "http://127.0.0.1:7117"},
		"only an IPv6 host":    {"[::1]", "http://[::1]:7117"},
		"port 80":              {"http://masters.example.com:80", "http://masters.example.com:80"},
		"IPv6":                 {"[::1]:7117", "http://[::1]:7117"},
		"nothing":              {"", ""},
		"no host":              {"http://:7117", ""},
		"another scheme":       {"ftp://127.0.0.1", ""},
		"a path":               {"http://127.0.0.1:7117/api", ""},
		"a question":           {"http://127.0.0.1:7117?a=b", ""},
		"a user":               {"http://me:secret@127.0.0.1:7117", ""},
		"a fragment":           {"http://127.0.0.1:7117#a", ""},
		"a port that is none":  {"http://127.0.0.1:port", ""},
		"spaces":               {"http://127 0.0.1", ""},
		"several in one":       {"http://a:1,http://b:1", ""},
		"a control character":  {"http://127.0.0.1\x00", ""},
		"half an IPv6 address": {"http://[::1", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c, err := client.New(tc.given)

			switch {
			case tc.want == "" && err == nil:
				t.Errorf("%q is taken for %s", tc.given, c.Address())
			case tc.want != "" && (err != nil || c.Address() != tc.want):
				t.Errorf("%q is %v, want %s", tc.given, err, tc.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c, err := client.New()
	if err != nil || c.Address() != client.DefaultAddress {
		t.Errorf("without addresses it is %v", err)
	}

	_, err = client.Open(client.Config{Masters: []string{"ftp://a", "http://b/c"}, SilentAfter: -1})

	for _, words := range []string{`"ftp://a"`, `"http://b/c"`, "-1ns"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error = %v, want one that says %s", err, words)
		}
	}
}

func info(t *testing.T, c *client.Client) (string, error) {
	t.Helper()
	answer, err := c.Cluster().GetInfo(t.Context(), connect.NewRequest(&pb.GetInfoRequest{}))
	if err != nil {
		return "", err
	}
	return answer.Msg.GetMaster(), nil
}

func TestCallsFindTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, leads, refusals := newNetwork(t), &leader{name: "m3"}, 0
		n.serve("m2:1", standby(&refusals))
		n.serve("m3:1", leads.handler())
		c := n.open("m1:1", "m2:1", "m3:1")

		for range 3 {
			if name, err := info(t, c); err != nil || name != "m3" {
				t.Errorf("GetInfo is answered by %q, %v", name, err)
			}
		}

		if refusals != 1 || leads.count() != 3 || c.Address() != "http://m3:1" {
			t.Errorf("the others refused %d calls, the leader answered %d; next is %s", refusals, leads.count(), c.Address())
		}
	})
}

// TestMastersAreAskedInTurn: the first is the one that is named first, and then they are
// asked as they take over from one another, whatever the order in which they are named.
func TestMastersAreAskedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, asked := newNetwork(t), ""
		for _, name := range []string{"m1", "m2", "m3", "m4"} {
			n.serve(name+":1", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				asked += name + " "
				standby(new(int)).ServeHTTP(w, req)
			}))
		}
		c := n.open("m3:1", "m1:1", "http://m4:1", "m2:1", "m3:1")

		for range 2 {
			if name, err := info(t, c); err == nil {
				t.Errorf("%s leads", name)
			}
		}

		if want := "m3 m4 m1 m2 m3 m4 m1 m2 "; asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
	})
}

func TestStreamsFindTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, refusals := newNetwork(t), 0
		n.serve("m2:1", standby(&refusals))
		n.serve("m3:1", (&leader{name: "m3"}).handler())
		c := n.open("m1:1", "m2:1", "m3:1")

		stream, err := c.Cluster().Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stream.Close() }()

		if !stream.Receive() || stream.Msg().GetRevision() != 7 || refusals != 1 {
			t.Errorf("it got %v, %v after %d refusals", stream.Msg(), stream.Err(), refusals)
		}
	})
}

func TestNobodyLeads(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		masters []string
		says    string
		refused int
	}{
		"nobody is there":           {[]string{"m1:1", "m3:1"}, "m3:1 cannot be reached: nobody listens on m3:1", 0},
		"the last stands by":        {[]string{"m1:1", "m2:1"}, "does not lead", 1},
		"the last is not there":     {[]string{"m2:1", "m1:1"}, "m1:1 cannot be reached", 1},
		"the only one is not there": {[]string{"m1:1"}, "m1:1 cannot be reached", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, refusals := newNetwork(t), 0
				n.serve("m2:1", standby(&refusals))
				c := n.open(tc.masters...)

				_, err := info(t, c)

				if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), tc.says) || refusals != tc.refused {
					t.Errorf("error = %v after %d refusals, want one that says %q after %d", err, refusals, tc.says, tc.refused)
				}
			})
		})
	}
}

// TestWhatMayBeDoneIsNotDoneTwice breaks a call when the master has it.
func TestWhatMayBeDoneIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, first, second := newNetwork(t), &leader{name: "m1"}, &leader{name: "m2"}
		n.serve("m1:1", first.handler())
		n.serve("m2:1", second.handler())
		c := n.open("m1:1", "m2:1")
		first.broken = true

		_, err := c.Cluster().Stop(t.Context(), connect.NewRequest(&pb.StopRequest{Service: "web"}))

		if err == nil || first.count() != 1 || second.count() != 0 {
			t.Errorf("error %v after %d and %d calls", err, first.count(), second.count())
		}
		if name, err := info(t, c); err != nil || name != "m2" {
			t.Errorf("the next call is answered by %q, %v", name, err)
		}
	})
}

// TestWhatChangesNothingIsAskedAgain breaks a call when the master has it, which another one
// may answer as well.
func TestWhatChangesNothingIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, first, second := newNetwork(t), &leader{name: "m1", broken: true}, &leader{name: "m2"}
		n.serve("m1:1", first.handler())
		n.serve("m2:1", second.handler())
		c := n.open("m1:1", "m2:1")

		name, err := info(t, c)

		if err != nil || name != "m2" || first.count() != 1 || second.count() != 1 {
			t.Errorf("answered by %q, %v, after %d and %d calls", name, err, first.count(), second.count())
		}
		second.broken = true
		if _, err := info(t, c); err == nil || first.count()+second.count() != 4 {
			t.Errorf("error %v after %d and %d calls; each master is asked once", err, first.count(), second.count())
		}
	})
}

func TestRefusalsAreNotTriedElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, first, second := newNetwork(t), &leader{name: "m1"}, &leader{name: "m2"}
		first.info = func(context.Context) error {
			return connect.NewError(connect.CodeUnavailable, errors.New("the outcome is not known"))
		}
		n.serve("m1:1", first.handler())
		n.serve("m2:1", second.handler())
		c := n.open("m1:1", "m2:1")

		_, err := info(t, c)

		if connect.CodeOf(err) != connect.CodeUnavailable || second.count() != 0 || c.Address() != "http://m1:1" {
			t.Errorf("error %v; the other has %d calls; next is %s", err, second.count(), c.Address())
		}
	})
}

func TestCallIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, slow, other := newNetwork(t), &leader{name: "m1"}, &leader{name: "m2"}
		slow.info = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		n.serve("m1:1", slow.handler())
		n.serve("m2:1", other.handler())
		c := n.open("m1:1", "m2:1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		_, err := c.Cluster().GetInfo(ctx, connect.NewRequest(&pb.GetInfoRequest{}))

		if connect.CodeOf(err) != connect.CodeDeadlineExceeded || other.count() != 0 {
			t.Errorf("error = %v; the other has %d calls", err, other.count())
		}
	})
}

// stuck is a master that answers its first call, and no other.
type stuck struct {
	aloftv1connect.UnimplementedClusterServiceHandler

	calls  atomic.Int64
	asked  chan struct{} // closed when the second call is there
	killed chan struct{}
}

func (s *stuck) GetInfo(context.Context, *connect.Request[pb.GetInfoRequest]) (*connect.Response[pb.GetInfoResponse], error) {
	if s.calls.Add(1) > 1 {
		close(s.asked)
		<-s.killed
	}
	return connect.NewResponse(&pb.GetInfoResponse{}), nil
}

// TestAMasterThatIsKilled resets the connections on which calls wait.
func TestAMasterThatIsKilled(t *testing.T) {
	t.Parallel()
	master := &stuck{asked: make(chan struct{}), killed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(aloftv1connect.NewClusterServiceHandler(master))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	accepted := make(chan net.Conn, 1) // the one connection
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			accepted <- conn
		}
	}
	server.Start()
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := info(t, c); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-master.asked
		conn := (<-accepted).(*net.TCPConn)
		_ = conn.SetLinger(0) // its end is a reset
		_ = conn.Close()
		close(master.killed)
	}()

	_, err = info(t, c)

	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("GetInfo = %v, want it to be unavailable", err)
	}
}
