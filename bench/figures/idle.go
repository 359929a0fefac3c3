package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aloft-run/aloft/bench/process"
	"github.com/aloft-run/aloft/bench/rival"
)

const (
	idleConnections = 10_000
	// idleSettles is how long a proxy may take to give back what requests took.
	idleSettles = 2 * time.Second
)

// perIdle returns how much memory a connection takes that had a request and waits for
// the next one.
func (s subject) perIdle(ctx context.Context) (bytes int64, err error) {
	at, err := url.Parse(s.url)
	if err != nil {
		return 0, err
	}
	before, err := process.Tree(s.pid)
	if err != nil {
		return 0, err
	}
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			err = errors.Join(err, conn.Close())
		}
	}()
	for range idleConnections {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
		if err != nil {
			return 0, fmt.Errorf("%s, with %d idle connections: %w", s.name, len(open), err)
		}
		open = append(open, conn)
		if err := askOnce(conn); err != nil {
			return 0, fmt.Errorf("%s, with %d idle connections: %w", s.name, len(open), err)
		}
	}
	if err := pause(ctx, idleSettles); err != nil {
		return 0, err
	}
	after, err := process.Tree(s.pid)
	return (after.RSS - before.RSS) / idleConnections, err
}

// askOnce sends a request and reads the answer.
func askOnce(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", backendHost); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

// measureIdle compares the memory of idle connections, and holds it to that of Go's own
// proxy.
func (b *bench) measureIdle(ctx context.Context, subjects []subject) error {
	each := make(map[string]int64)
	for _, name := range []string{"aloft", rival.ReverseProxyName, "nginx", "haproxy"} {
		b.say("%s, %d idle connections", name, idleConnections)
		bytes, err := named(subjects, name).perIdle(ctx)
		if err != nil {
			return err
		}
		each[name] = bytes
	}
	kib := func(name string) string { return fmt.Sprintf("%.1f KiB", float64(each[name])/1024) }
	b.results.beside = append(b.results.beside, figure{
		what:    "memory of an idle connection",
		command: fmt.Sprintf("%d connections, a request on each", idleConnections),
		bar:     fmt.Sprintf("at most that of %s, %s", rival.ReverseProxyName, kib(rival.ReverseProxyName)),
		value:   fmt.Sprintf("%s; nginx %s, HAProxy %s", kib("aloft"), kib("nginx"), kib("haproxy")),
		met:     each["aloft"] <= each[rival.ReverseProxyName],
	})
	return nil
}
