package master_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
	"github.com/aloft-run/aloft/telemetry"
)

// send makes a request by hand and returns its answer.
func (n *node) send(method, path, kind string, body io.Reader) (int, string) {
	n.Helper()
	req, err := http.NewRequestWithContext(n.Context(), method, "http://masters"+path, body)
	if err != nil {
		n.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	answer, err := n.http().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		n.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func zipped(text string) io.Reader {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return &out
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	const service = "/aloft.v1.ClusterService/"
	huge := `{"files":[{"name":"` + strings.Repeat("x", 9<<20) + `"}]}`
	tests := map[string]struct {
		method, path, kind string
		body               string
		status             int
	}{
		"garbage":               {http.MethodPost, service + "Deploy", "application/json", "\x00\xff{{{", http.StatusBadRequest},
		"garbage for protobuf":  {http.MethodPost, service + "Deploy", "application/proto", "\xff\xff\xff", http.StatusBadRequest},
		"an array":              {http.MethodPost, service + "Deploy", "application/json", "[]", http.StatusBadRequest},
		"too deep":              {http.MethodPost, service + "Deploy", "application/json", strings.Repeat(`{"a":`, 20_000), http.StatusBadRequest},
		"a huge body":           {http.MethodPost, service + "Deploy", "application/json", huge, http.StatusTooManyRequests},
		"no such call":          {http.MethodPost, service + "Nothing", "application/json", "{}", http.StatusNotFound},
		"no such service":       {http.MethodPost, "/aloft.v1.Nothing/Nothing", "application/json", "{}", http.StatusNotFound},
		"a kind that is none":   {http.MethodPost, service + "Deploy", "text/plain", "{}", http.StatusUnsupportedMediaType},
		"a GET":                 {http.MethodGet, service + "Deploy", "", "", http.StatusMethodNotAllowed},
		"a session by HTTP/1.1": {http.MethodPost, "/aloft.v1.AgentService/Session", "application/connect+json", "\x00\x00\x00\x00\x02{}", http.StatusHTTPVersionNotSupported},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)

				code, answer := n.send(tc.method, tc.path, tc.kind, strings.NewReader(tc.body))

				if code != tc.status {
					t.Errorf("%d %s, want %d", code, answer, tc.status)
				}
				n.deploy(web(1, "v1")) // it goes on
			})
		})
	}
}

func TestSmallBodyThatIsHuge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://masters/aloft.v1.ClusterService/Deploy",
			zipped(`{"reason":"`+strings.Repeat("x", 100<<20)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Content-Encoding", "gzip")

		answer, err := n.http().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()

		if answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("it is answered with %s", answer.Status)
		}
	})
}

// TestSlowClients are let go of after a while, whatever they are slow in.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const head = "POST /aloft.v1.ClusterService/ListTasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	tests := map[string]struct {
		sends string
		after time.Duration // until which the connection is closed
	}{
		"says nothing":                 {"", 5 * time.Second},
		"stops in the head":            {"POST /aloft.v1", 5 * time.Second},
		"stops in HTTP/2's first word": {"PRI * HTTP", 5 * time.Second},
		"stops in the body":            {head + "Content-Length: 100\r\n\r\n{", 30 * time.Second},
		"never says what the body is":  {head + "Transfer-Encoding: chunked\r\n\r\n", 30 * time.Second},
		"does not read the answer":     {head + "Content-Length: 2\r\n\r\n{}", 60 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)
				line := n.raw()
				if tc.sends != "" {
					line.write(tc.sends)
				}

				time.Sleep(tc.after + time.Second)

				_ = line.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
				if said, err := io.ReadAll(line.conn); err != nil {
					t.Errorf("after %v it is still connected: %q, %v", tc.after, said, err)
				}
			})
		})
	}
}

// TestWatchByHTTP1 goes on for longer than a request may take.
func TestWatchByHTTP1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://masters/aloft.v1.ClusterService/Watch",
			strings.NewReader("\x00\x00\x00\x00\x02{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/connect+json")
		answer, err := n.http().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for in := bufio.NewReader(answer.Body); ; {
				var head [5]byte
				if _, err := io.ReadFull(in, head[:]); err != nil {
					return
				}
				text := make([]byte, int(head[3])<<8+int(head[4]))
				if _, err := io.ReadFull(in, text); err != nil {
					return
				}
				lines <- string(text)
			}
		}()
		if first := <-lines; !strings.Contains(first, "synced") {
			t.Errorf("it begins with %s", first)
		}
		for i := range 3 {
			time.Sleep(time.Hour)

			must[pb.SetPoolResponse](t)(n.api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: fmt.Sprintf("p%d", i)}})))

			if next := <-lines; !strings.Contains(next, fmt.Sprintf("p%d", i)) {
				t.Fatalf("after %d hours it says %q", i+1, next)
			}
		}
	})
}

// TestSameConnection has a call bound what comes after it on its connection no
// more.
func TestSameConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines, registry := listen(), prometheus.NewRegistry()
		m, err := master.New(master.Config{ID: "m1", Registerer: registry}, memory.New(memory.Config{}).Join())
		if err != nil {
			t.Fatal(err)
		}
		slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Minute) // as a profile takes
			_, _ = io.WriteString(w, "done")
		})
		ctx, cancel := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() { _ = master.Serve(ctx, slog.New(slog.DiscardHandler), lines, m.Handler(slow)) })
		defer serving.Wait()
		defer cancel()
		transport := &http.Transport{DialContext: lines.dial, MaxConnsPerHost: 1}
		defer transport.CloseIdleConnections()
		over := &http.Client{Transport: transport}
		first, err := over.Post("http://masters/aloft.v1.ClusterService/GetInfo", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, first.Body)
		_ = first.Body.Close()

		second, err := over.Get("http://masters/debug/pprof/profile")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(second.Body)
		_ = second.Body.Close()

		if err != nil || string(text) != "done" || first.StatusCode != http.StatusServiceUnavailable || first.Header.Get(master.StandbyHeader) == "" {
			t.Errorf("%v, then %q, %v", first, text, err)
		}
	})
}

// TestServerWaitsForItsHandlers and lets no call in afterwards.
func TestServerWaitsForItsHandlers(t *testing.T) {
	t.Parallel()
	tests := map[string]func(cancel func(), lines *lines){
		"when it is told to end":  func(cancel func(), _ *lines) { cancel() },
		"when its listener broke": func(_ func(), lines *lines) { _ = lines.Close() },
	}
	for name, ends := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines, entered, left := listen(), make(chan struct{}), false
				handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
					close(entered)
					<-req.Context().Done()
					time.Sleep(time.Minute)
					left = true
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				served := make(chan error, 1)
				go func() { served <- master.Serve(ctx, slog.New(slog.DiscardHandler), lines, handler) }()
				transport := &http.Transport{DialContext: lines.dial}
				defer transport.CloseIdleConnections()
				var asking sync.WaitGroup
				asking.Go(func() {
					if answer, err := (&http.Client{Transport: transport}).Get("http://masters/"); err == nil {
						_ = answer.Body.Close()
					}
				})
				<-entered

				ends(cancel, lines)

				if err := <-served; err == nil || !left {
					t.Errorf("it ended with %v; its handler has left: %v", err, left)
				}
				asking.Wait()
			})
		})
	}
}

// TestServerEndsInOrder: a call that comes by a kept connection when the server has
// been told to end is refused, so that its client may make it elsewhere. On a
// connection that was closed before, nobody would know what became of it.
func TestServerEndsInOrder(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lines := listen()
				ctx, cancel := context.WithCancel(t.Context())
				var serving sync.WaitGroup
				serving.Go(func() {
					_ = master.Serve(ctx, slog.New(slog.DiscardHandler), lines, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				})
				defer serving.Wait()
				defer cancel()
				transport := &http.Transport{DialContext: lines.dial, Protocols: new(http.Protocols)}
				transport.Protocols.SetHTTP1(protocol == "HTTP/1.1")
				transport.Protocols.SetUnencryptedHTTP2(protocol == "HTTP/2")
				defer transport.CloseIdleConnections()
				call := func() http.Header {
					answer, err := (&http.Client{Transport: transport}).Post("http://masters/", "text/plain", strings.NewReader("x"))
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
					synctest.Wait()
					return answer.Header
				}
				call()

				cancel()
				synctest.Wait()
				last := call()

				if last.Get(master.StandbyHeader) == "" {
					t.Errorf("the call that came at the end got %v", last)
				}
			})
		})
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	n := single(t)
	conn, err := grpc.NewClient("passthrough:///masters", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return n.lines.dial(ctx, "", address) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	info := &pb.GetInfoResponse{}
	if err := conn.Invoke(ctx, "/aloft.v1.ClusterService/GetInfo", &pb.GetInfoRequest{}, info); err != nil || info.GetMaster() != "m1" {
		t.Errorf("GetInfo = %v, %v", info, err)
	}
	err = conn.Invoke(ctx, "/aloft.v1.ClusterService/Deploy", &pb.DeployRequest{Files: files("service: web\n")}, &pb.DeployResponse{})
	if refusal := status.Convert(err); refusal.Code() != codes.InvalidArgument || len(refusal.Details()) != 1 {
		t.Errorf("a bad spec is refused with %v, %v", err, refusal.Details())
	} else if problems, ok := refusal.Details()[0].(*pb.Problems); !ok || len(problems.GetProblems()) == 0 {
		t.Errorf("the detail is %v", refusal.Details())
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/aloft.v1.ClusterService/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&pb.WatchRequest{}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	message := &pb.WatchResponse{}
	if err := stream.RecvMsg(message); err != nil || !message.GetSynced() {
		t.Fatalf("the watch begins with %v, %v", message, err)
	}
	n.deploy(web(1, "v1"))
	if err := stream.RecvMsg(message); err != nil || len(message.GetChanges()) == 0 {
		t.Errorf("the watch goes on with %v, %v", message, err)
	}
}

// panics is a log that cannot take one message.
type panics struct {
	slog.Handler

	at string
}

func (p panics) Handle(_ context.Context, r slog.Record) error {
	if r.Message == p.at {
		panic("a bug: " + p.at)
	}
	return nil
}

func (panics) Enabled(context.Context, slog.Level) bool { return true }

func TestPanicsEndOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, lines := memory.New(memory.Config{}), listen()
		m, err := master.New(master.Config{ID: "m1", Log: slog.New(panics{slog.DiscardHandler, "agent joins"})}, cluster.Join())
		if err != nil {
			t.Fatal(err)
		}
		n := &node{T: t, cluster: cluster, master: m, lines: lines}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var running sync.WaitGroup
		running.Go(func() { _ = m.Run(ctx) })
		running.Go(func() { _ = master.Serve(ctx, slog.New(slog.DiscardHandler), lines, m.Handler(http.NotFoundHandler())) })
		n.Cleanup(func() { cancel(); running.Wait() })
		t.Cleanup(n.close)
		n.api = n.client().Cluster()
		n.leads()

		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		n.eventually("the session has ended", func() bool { return s.ended() != nil })
		checkError(t, s.ended(), connect.CodeInternal, "a bug: agent joins")
		if err := m.AskWhatPanics(t.Context()); err == nil || !strings.Contains(err.Error(), "a bug") {
			t.Errorf("a question that panics is answered with %v", err)
		}

		n.deploy(web(1, "v1"))
	})
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		leader := start(t, cluster, master.Config{ID: "m1"})
		leader.leads()
		standby := start(t, cluster, master.Config{ID: "m2"})
		synctest.Wait()
		ready := func(n *node) int {
			answer := httptest.NewRecorder()
			telemetry.Admin(telemetry.AdminConfig{Ready: n.master.Ready}).ServeHTTP(answer,
				httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
			return answer.Code
		}

		if got := [2]int{ready(leader), ready(standby)}; got != [2]int{200, 503} {
			t.Errorf("leader and standby are ready: %v", got)
		}
	})
}
