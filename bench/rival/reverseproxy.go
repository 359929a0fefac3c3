package rival

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// ServeReverseProxy is a proxy of Go's library with nothing added but kept
// connections to the backend. It serves until ctx is done.
func ServeReverseProxy(ctx context.Context, addr, backend string) error {
	const connections = 512
	target := &url.URL{Scheme: "http", Host: backend}
	server := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host
				r.SetXForwarded()
			},
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
			// The load generator leaves with requests under way.
			ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		},
		ReadHeaderTimeout: 10 * time.Second,
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
