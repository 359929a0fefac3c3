package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/aloft-run/aloft/core/spec"
)

// Target says what to ask and where.
type Target struct {
	Kind    spec.ProbeKind
	Host    string   // default 127.0.0.1
	Port    int      // of http, tcp and grpc
	Path    string   // of http; default /
	Service string   // of grpc; "" asks for the whole server
	Command []string // of command; handed to Exec
	// Exec runs the command of a command probe, with the task's environment and
	// in its sandbox. Its error is the answer: nil for exit code 0.
	Exec func(ctx context.Context, command []string) error
}

// NewChecker returns the Checker for a target, or an error that says what the
// target lacks.
func NewChecker(target Target) (Checker, error) {
	if target.Host == "" {
		target.Host = "127.0.0.1"
	}
	if target.Kind != spec.CommandProbe && (target.Port < 1 || target.Port > 65535) {
		return nil, fmt.Errorf("probe: port %d is not one to 65535", target.Port)
	}
	address := net.JoinHostPort(target.Host, strconv.Itoa(target.Port))
	switch target.Kind {
	case spec.HTTPProbe:
		return newHTTPChecker(address, target.Path), nil
	case spec.TCPProbe:
		return tcpChecker{address}, nil
	case spec.GRPCProbe:
		return grpcChecker{address, target.Service}, nil
	case spec.CommandProbe:
		if len(target.Command) == 0 || target.Exec == nil {
			return nil, errors.New("probe: a command probe needs a command and a way to run it")
		}
		return commandChecker{target.Command, target.Exec}, nil
	case spec.NoProbe:
	}
	return nil, fmt.Errorf("probe: there is nothing to ask for kind %d", target.Kind)
}

// httpChecker is content with 200 to 399 and follows no redirect.
type httpChecker struct {
	url    string
	client *http.Client
}

func newHTTPChecker(address, path string) httpChecker {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return httpChecker{
		url: "http://" + address + path,
		client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (c httpChecker) Check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return fmt.Errorf("http probe: %v", err)
	}
	req.Header.Set("User-Agent", "aloft-probe")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("http probe: %s", plainText(err))
	}
	defer func() { _ = resp.Body.Close() }()                      // the connection ends with it
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the program finish its answer
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("http probe: GET %s: %s", req.URL.Path, resp.Status)
	}
	return nil
}

// tcpChecker is content when a connection opens.
type tcpChecker struct{ address string }

func (c tcpChecker) Check(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return fmt.Errorf("tcp probe: %s", plainText(err))
	}
	_ = conn.Close() // nothing was said on it
	return nil
}

// grpcChecker asks the standard health service, each time on a new connection.
type grpcChecker struct{ address, service string }

func (c grpcChecker) Check(ctx context.Context) error {
	conn, err := grpc.NewClient("passthrough:///"+c.address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("aloft-probe"))
	if err != nil {
		return fmt.Errorf("grpc probe: %v", err)
	}
	defer func() { _ = conn.Close() }() // one question per connection
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: c.service})
	if err != nil {
		return fmt.Errorf("grpc probe: %v", err)
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc probe: the health service says %s", answer.GetStatus())
	}
	return nil
}

// commandChecker is content when its command is.
type commandChecker struct {
	command []string
	exec    func(ctx context.Context, command []string) error
}

func (c commandChecker) Check(ctx context.Context) error {
	if err := c.exec(ctx, c.command); err != nil {
		return fmt.Errorf("command probe: %s: %w", c.command[0], err)
	}
	return nil
}

// plainText says what was wrong without the local port, which differs each
// time and would make every answer news.
func plainText(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return fmt.Sprintf("%s %s: %v", op.Op, op.Addr, op.Err)
	}
	return err.Error()
}
