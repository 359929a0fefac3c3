package master

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// Bounds of what a client may ask of the server.
const (
	messageBytesMax = 8 << 20
	headerBytesMax  = 64 << 10
	headerWithin    = 5 * time.Second
	bodyWithin      = 30 * time.Second
	idleMax         = 2 * time.Minute
)

// Handler returns the API and the sessions, with rest for every other path.
func (m *Master) Handler(rest http.Handler) http.Handler {
	limits := connect.WithReadMaxBytes(messageBytesMax)
	mux := http.NewServeMux()
	mux.Handle(bounded(aloftv1connect.NewClusterServiceHandler(&clusterService{m}, limits)))
	mux.Handle(aloftv1connect.NewAgentServiceHandler(m, limits))
	mux.Handle(aloftv1connect.NewRouterServiceHandler(routerService{m}, limits))
	mux.Handle("/", rest)
	return mux
}

// bounded gives a client only so long to send its request: a slow one does not
// hold a connection for ever. The sessions, which never end, are not bounded.
func bounded(path string, handler http.Handler) (string, http.Handler) {
	return path, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWithin)); err != nil {
			http.Error(w, "this connection takes no deadline", http.StatusInternalServerError)
			return
		}
		handler.ServeHTTP(w, req)
	})
}

// Serve answers on listener until ctx is done: HTTP/1.1 and HTTP/2 without TLS.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 3 * time.Second, WriteByteTimeout: bodyWithin},
		ReadHeaderTimeout: headerWithin,
		IdleTimeout:       idleMax,
		MaxHeaderBytes:    headerBytesMax,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	closing := context.AfterFunc(ctx, func() { _ = server.Close() }) // sessions end with it; their clients come again
	defer closing()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}
