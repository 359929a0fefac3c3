package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// network is what masters listen on and clients dial, in memory, so that both
// run in a synctest bubble.
type network struct {
	t     *testing.T
	hosts map[string]*lines // by address; written before anybody dials
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	return &network{t: t, hosts: make(map[string]*lines)}
}

// serve has a handler answer at an address until the test ends.
func (n *network) serve(address string, handler http.Handler) {
	n.t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	l := &lines{incoming: make(chan net.Conn), closed: make(chan struct{})}
	n.hosts[address] = l
	var serving sync.WaitGroup
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		serving.Add(1)
		defer serving.Done()
		handler.ServeHTTP(w, req)
	})}
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.t.Errorf("server: %v", err)
		}
	})
	n.t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, known := n.hosts[address]
	if !known {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
	here, there := net.Pipe()
	select {
	case host.incoming <- there:
		return here, nil
	case <-host.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// open returns a client of these masters.
func (n *network) open(masters ...string) *client.Client {
	n.t.Helper()
	c, err := client.Open(client.Config{Masters: masters, Dial: n.dial})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}

// lines are a listener whose connections are in memory.
type lines struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *lines) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*lines) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// leader answers as a leading master does; its parts say what it does.
type leader struct {
	aloftv1connect.UnimplementedClusterServiceHandler
	aloftv1connect.UnimplementedAgentServiceHandler

	name    string
	broken  bool                        // its connections break when it has a call
	info    func(context.Context) error // before it answers
	knock   func(agents []string) error
	session func(context.Context, *connect.BidiStream[pb.SessionRequest, pb.SessionResponse]) error
	logs    func(context.Context, *connect.ClientStream[pb.SendLogsRequest]) error

	mu    sync.Mutex // guards calls
	calls int
}

func (l *leader) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(aloftv1connect.NewClusterServiceHandler(l))
	mux.Handle(aloftv1connect.NewAgentServiceHandler(l))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		l.mu.Lock()
		l.calls++
		l.mu.Unlock()
		if l.broken {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, req)
	})
}

func (l *leader) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *leader) GetInfo(ctx context.Context, _ *connect.Request[pb.GetInfoRequest]) (*connect.Response[pb.GetInfoResponse], error) {
	if l.info != nil {
		if err := l.info(ctx); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&pb.GetInfoResponse{Master: l.name}), nil
}

func (*leader) Watch(_ context.Context, _ *connect.Request[pb.WatchRequest], stream *connect.ServerStream[pb.WatchResponse]) error {
	return stream.Send(&pb.WatchResponse{Revision: 7, Synced: true})
}

func (l *leader) Session(ctx context.Context, stream *connect.BidiStream[pb.SessionRequest, pb.SessionResponse]) error {
	return l.session(ctx, stream)
}

func (l *leader) Knock(_ context.Context, req *connect.Request[pb.KnockRequest]) (*connect.Response[pb.KnockResponse], error) {
	return connect.NewResponse(&pb.KnockResponse{}), l.knock(req.Msg.GetAgents())
}

func (l *leader) SendLogs(ctx context.Context, stream *connect.ClientStream[pb.SendLogsRequest]) (*connect.Response[pb.SendLogsResponse], error) {
	return connect.NewResponse(&pb.SendLogsResponse{}), l.logs(ctx, stream)
}

// notLeading is the error of a master that does not lead.
func notLeading() *connect.Error {
	refusal := connect.NewError(connect.CodeUnavailable, errors.New("this master does not lead"))
	refusal.Meta().Set("Aloft-Standby", "true")
	return refusal
}

// standby answers as a master does that does not lead.
func standby(calls *int) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		*calls++
		w.Header().Set("Aloft-Standby", "true")
		_ = refuse.Write(w, req, connect.NewError(connect.CodeUnavailable, errors.New("this master does not lead")))
	})
}
