package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/h2load"
	"github.com/aloft-run/aloft/bench/report"
	"github.com/aloft-run/aloft/bench/rival"
)

// What is loaded beside plain HTTP/1.1.
const (
	trafficTakes       = 2 * time.Second
	trafficConnections = barConnections
	streams            = 10 // of HTTP/2, on each connection
)

// ran is what a load came to.
type ran struct {
	times     int
	perSecond float64
	latency   string
}

// compareTraffic loads proxies in turns, and keeps of each the run with the middle rate.
func (b *bench) compareTraffic(ctx context.Context, what, command string, subjects []subject, load func(context.Context, subject) (ran, error)) error {
	runs := make(map[string][]passed)
	for round := range rounds {
		b.say("%s, round %d of %d", what, round+1, rounds)
		for _, s := range subjects {
			before, err := s.cpu()
			if err != nil {
				return err
			}
			came, err := load(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", what, s.name, err)
			}
			after, err := s.cpu()
			if err != nil {
				return err
			}
			runs[s.name] = append(runs[s.name], passed{what, s.name, command, came.perSecond, came.latency, (after - before) / time.Duration(max(came.times, 1))})
		}
	}
	for _, s := range subjects {
		slices.SortFunc(runs[s.name], func(a, b passed) int { return int(a.perSecond - b.perSecond) })
		b.results.other = append(b.results.other, runs[s.name][rounds/2])
	}
	return nil
}

// measureTwo compares the proxies for clients that speak HTTP/2 in cleartext.
func (b *bench) measureTwo(ctx context.Context, subjects []subject) (err error) {
	backend, err := url.Parse(named(subjects, "bare backend").url)
	if err != nil {
		return err
	}
	compared := []subject{named(subjects, "aloft")}
	others, stop, err := b.startRivals(ctx, backend.Host, rival.HAProxyTwo, rival.NginxTwo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return b.compareTraffic(ctx, fmt.Sprintf("HTTP/2, %d connections of %d streams", trafficConnections, streams),
		fmt.Sprintf("`h2load --clients=%d --max-concurrent-streams=%d`", trafficConnections, streams),
		append(compared, others...), func(ctx context.Context, s subject) (ran, error) {
			at, err := url.Parse(s.url)
			if err != nil {
				return ran{}, err
			}
			seen, err := h2load.Run(ctx, h2load.Config{Address: at.Host, Host: backendHost, Connections: trafficConnections, Streams: streams, Takes: trafficTakes})
			return ran{seen.Requests, seen.PerSecond, "mean " + report.Duration(seen.Mean)}, err
		})
}

// measureEcho compares the proxies for connections that are upgraded to WebSocket.
func (b *bench) measureEcho(ctx context.Context, c *cluster.Cluster) (err error) {
	last, err := lastPort(c)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port := last - 1 // the last one is the backend's
	backend, err := b.deployServer(ctx, c, server{
		name: "echo", port: port, command: []string{self, echoWord, "127.0.0.1:" + strconv.Itoa(port)}, route: routeOf(echoHost),
	})
	if err != nil {
		return err
	}
	router, err := c.Part("router")
	if err != nil {
		return err
	}
	others, stop, err := b.startRivals(ctx, backend, rival.HAProxyUpgrading, rival.NginxUpgrading)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return b.compareTraffic(ctx, fmt.Sprintf("WebSocket, messages of %d bytes and their echoes, %d connections", rival.EchoBytes, trafficConnections), "-",
		append([]subject{{"aloft", c.HTTP + "/", router.PID}}, others...), echoes)
}

// startRivals starts proxies in front of a backend, and returns how to stop them.
func (b *bench) startRivals(ctx context.Context, backend string, start ...func(context.Context, string, string) (*rival.Server, error)) (found []subject, stop func() error, err error) {
	var servers []*rival.Server
	stop = func() error {
		var problems []error
		for _, s := range servers {
			problems = append(problems, s.Stop())
		}
		return errors.Join(problems...)
	}
	for _, f := range start {
		server, err := f(ctx, b.folder, backend)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		servers = append(servers, server)
		name, _, _ := strings.Cut(server.Name, "-") // without what it is made for
		found = append(found, subject{name, server.URL(), server.PID})
	}
	return found, stop, nil
}
