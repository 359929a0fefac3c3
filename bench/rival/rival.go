// Package rival runs the proxies that aloft's router is measured against, and
// the backend behind all of them.
//
// Each is a process of its own on loopback, configured as its manual advises for
// throughput: a worker per core, connections to the backend kept, no access log,
// and X-Forwarded-For added, as aloft's router does.
package rival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// readyWithin is how long a proxy may take to accept connections.
const readyWithin = 10 * time.Second

// ErrNotReady is the error for a proxy that does not accept connections.
var ErrNotReady = errors.New("not ready")

// Server is a running proxy or backend. Stop it when it is no longer needed.
type Server struct {
	Name string
	Addr string // host and port
	PID  int    // of the process that parents its workers

	command *exec.Cmd
}

// URL returns where it serves.
func (s *Server) URL() string { return "http://" + s.Addr + "/" }

// Stop ends the server and waits until it is gone.
func (s *Server) Stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", s.Name, err)
	}
	_ = s.command.Wait() // what it says about the signal is of no interest
	return nil
}

// ReverseProxyName is the name of the server that ReverseProxy starts.
const ReverseProxyName = "httputil.ReverseProxy"

// Backend writes the configuration of nginx as a server that answers at once,
// and returns the command that runs it.
func Backend(folder string, port int) ([]string, error) {
	p := plan{name: "backend", folder: folder, port: port}
	if err := os.WriteFile(filepath.Join(folder, BulkPath), make([]byte, BulkSize), 0o644); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o755); err != nil { // root's nginx has workers that are nobody
		return nil, err
	}
	config, err := p.write(nginxConfig(backendSite))
	return nginxCommand(p, config), err
}

// Nginx starts nginx as a proxy in front of the backend.
func Nginx(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "nginx", folder: folder, backend: backend}
	return p.start(ctx, nginxConfig(proxySite), nginxCommand)
}

// HAProxy starts HAProxy in front of the backend.
func HAProxy(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "haproxy", folder: folder, backend: backend}
	return p.start(ctx, haproxyConfig, haproxyCommand)
}

// NginxTwo is Nginx for clients that speak HTTP/2 in cleartext.
func NginxTwo(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "nginx-two", folder: folder, backend: backend, two: true}
	return p.start(ctx, nginxConfig(proxySite), nginxCommand)
}

// HAProxyTwo is HAProxy for clients that speak HTTP/2 in cleartext.
func HAProxyTwo(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "haproxy-two", folder: folder, backend: backend, two: true}
	return p.start(ctx, haproxyConfig, haproxyCommand)
}

// NginxUpgrading is Nginx for clients that upgrade their connections.
func NginxUpgrading(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "nginx-upgrading", folder: folder, backend: backend, upgrades: true}
	return p.start(ctx, nginxConfig(proxySite), nginxCommand)
}

// HAProxyUpgrading is HAProxy for clients that upgrade their connections.
func HAProxyUpgrading(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "haproxy-upgrading", folder: folder, backend: backend, upgrades: true}
	return p.start(ctx, haproxyConfig, haproxyCommand)
}

// HAProxyTCP starts HAProxy as a relay of connections to the backend.
func HAProxyTCP(ctx context.Context, folder, backend string) (*Server, error) {
	p := plan{name: "haproxy-tcp", folder: folder, backend: backend}
	return p.start(ctx, haproxyTCPConfig, haproxyCommand)
}

// ReverseProxy starts this program again as a bare proxy of Go's library; it
// must then call ServeReverseProxy with the arguments that follow word.
func ReverseProxy(ctx context.Context, word, backend string) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := plan{name: ReverseProxyName, port: port, backend: backend}
	return p.run(ctx, self, word, p.addr(), backend)
}

// plan is a server that is about to start.
type plan struct {
	name, folder string
	port         int
	backend      string // host and port
	two          bool   // clients speak HTTP/2 in cleartext
	upgrades     bool   // clients upgrade their connections
}

// listen is the address with the word for clients that speak HTTP/2, where they do.
func (p plan) listen(word string) string {
	if p.two {
		return p.addr() + word
	}
	return p.addr()
}

func (p plan) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// start writes the configuration and runs the command made for it.
func (p plan) start(ctx context.Context, configure func(plan) string, command func(plan, string) []string) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	p.port = port
	config, err := p.write(configure)
	if err != nil {
		return nil, err
	}
	return p.run(ctx, command(p, config)...)
}

// write writes the configuration and returns its path.
func (p plan) write(configure func(plan) string) (string, error) {
	file := filepath.Join(p.folder, p.name+".conf")
	return file, os.WriteFile(file, []byte(configure(p)), 0o600)
}

// run starts the command and waits until it accepts connections.
func (p plan) run(ctx context.Context, arguments ...string) (*Server, error) {
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	server := &Server{Name: p.name, Addr: p.addr(), PID: command.Process.Pid, command: command}
	if err := Accepts(ctx, p.addr()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s on %w", p.name, err), server.Stop())
	}
	return server, nil
}

// Accepts waits until a server accepts connections.
func Accepts(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %v", address, ErrNotReady, err)
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
