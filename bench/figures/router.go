package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/process"
	"github.com/aloft-run/aloft/bench/report"
	"github.com/aloft-run/aloft/bench/rival"
	"github.com/aloft-run/aloft/bench/wrk"
)

const (
	backendHost = "backend.localhost"
	runTakes    = 2 * time.Second

	barConnections, manyConnections = 32, 256

	// Of the former there are more runs, and shorter ones: from run to run p99 moves by half and more. So
	// the two that are held to each other's p99 run in each round, the others in one of restEvery.
	barRunTakes = time.Second
	pairRounds  = 50
	restEvery   = 5
)

// pair are the subjects that are held to each other: ours, and theirs.
var pair = []string{"aloft", "nginx"} //nolint:gochecknoglobals // it is a constant

// subject is a proxy, or the backend itself, under load.
type subject struct {
	name string
	url  string
	pid  int
}

// measureRouter runs all proxies at once and loads one after the other.
func (b *bench) measureRouter(ctx context.Context) (err error) {
	c, err := b.startCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	subjects, stop, err := b.subjects(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, connections := range []int{barConnections, manyConnections} {
		if err := b.loadInTurns(ctx, subjects, connections); err != nil {
			return err
		}
	}
	b.compare()
	for _, measure := range []func(context.Context) error{
		func(ctx context.Context) error { return b.measureLong(ctx, subjects) },
		func(ctx context.Context) error { return b.measureTwo(ctx, subjects) },
		func(ctx context.Context) error { return b.measureEcho(ctx, c) },
		func(ctx context.Context) error { return b.measureIdle(ctx, subjects) },
		b.measureMatch,
	} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// loadInTurns loads one after the other, again and again, and keeps the medians.
func (b *bench) loadInTurns(ctx context.Context, subjects []subject, connections int) error {
	runs := make(map[string][]carried)
	times, takes, every := rounds, runTakes, 1
	if connections == barConnections {
		times, takes, every = pairRounds, barRunTakes, restEvery
	}
	order := slices.Clone(subjects)
	for round := range times {
		b.say("router, %d connections, round %d of %d", connections, round+1, times)
		for _, s := range order {
			if round%every != 0 && !slices.Contains(pair, s.name) {
				continue
			}
			run, err := s.load(ctx, connections, takes)
			if err != nil {
				return err
			}
			runs[s.name] = append(runs[s.name], run)
		}
		slices.Reverse(order) // so that none always follows the same other
	}
	for _, s := range subjects {
		b.results.proxies = append(b.results.proxies, medians(runs[s.name]))
	}
	return nil
}

// medians returns the median of each measure of several runs. A run whose rate is the one in
// the middle may have any p99.
func medians(runs []carried) carried {
	return carried{
		proxy: runs[0].proxy, connections: runs[0].connections,
		perSecond: medianOf(runs, func(c carried) float64 { return c.perSecond }),
		p50:       medianOf(runs, func(c carried) time.Duration { return c.p50 }),
		p99:       medianOf(runs, func(c carried) time.Duration { return c.p99 }),
		cpu:       medianOf(runs, func(c carried) time.Duration { return c.cpu }),
	}
}

func medianOf[T cmp.Ordered](runs []carried, of func(carried) T) T {
	var all []T
	for _, run := range runs {
		all = append(all, of(run))
	}
	return median(all)
}

// median returns the middle one of several values.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// named returns the subject of a name, which must be there.
func named(subjects []subject, name string) subject {
	return subjects[slices.IndexFunc(subjects, func(s subject) bool { return s.name == name })]
}

// measureLong compares the rates of long answers.
func (b *bench) measureLong(ctx context.Context, subjects []subject) error {
	var rates [2][]float64
	for round := range rounds {
		b.say("router, answers of 64 KiB, round %d of %d", round+1, rounds)
		for i, name := range pair {
			s := named(subjects, name)
			s.url = strings.TrimSuffix(s.url, "/") + rival.LongPath
			run, err := s.load(ctx, barConnections, runTakes)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], run.perSecond)
		}
	}
	ours, theirs := median(rates[0]), median(rates[1])
	b.results.beside = append(b.results.beside, figure{
		what:    "answers of 64 KiB: the router's rate beside nginx",
		command: "`wrk --threads 2 --connections 32`",
		bar:     fmt.Sprintf("at least %.1f ×", nginxBar),
		value:   fmt.Sprintf("%.2f ×, %.0f/s", ours/theirs, ours),
		met:     ours >= nginxBar*theirs,
	})
	return nil
}

// subjects deploys the backend, and starts every proxy in front of it.
func (b *bench) subjects(ctx context.Context, c *cluster.Cluster) (found []subject, stop func() error, err error) {
	backend, err := b.deployBackend(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	router, err := c.Part("router")
	if err != nil {
		return nil, nil, err
	}
	found = []subject{{"bare backend", "http://" + backend + "/", 0}, {"aloft", c.HTTP + "/", router.PID}}
	others, stop, err := b.startRivals(ctx, backend, rival.HAProxy, rival.Nginx,
		func(ctx context.Context, _, backend string) (*rival.Server, error) {
			return rival.ReverseProxy(ctx, proxyWord, backend)
		})
	return append(found, others...), stop, err
}

// deployBackend deploys the server behind all proxies as a service of aloft, and
// returns where it serves.
func (b *bench) deployBackend(ctx context.Context, c *cluster.Cluster) (string, error) {
	port, err := lastPort(c)
	if err != nil {
		return "", err
	}
	command, err := rival.Backend(b.folder, port)
	if err != nil {
		return "", err
	}
	address, err := b.deployServer(ctx, c, server{name: "backend", port: port, command: command, route: routeOf(backendHost)})
	if err != nil {
		return "", err
	}
	return address, awaitAnswer(ctx, c.HTTP, backendHost)
}

// server is what serves behind all proxies.
type server struct {
	name    string
	port    int
	command []string
	route   string // the lines of its spec that say how requests come
}

// routeOf returns those for requests with a host.
func routeOf(host string) string {
	return fmt.Sprintf("ready: {tcp: true, port: http}\nroute: {host: %s, port: http}\n", host)
}

// deployServer deploys a server as a service, and returns where it serves.
func (b *bench) deployServer(ctx context.Context, c *cluster.Cluster, s server) (string, error) {
	command := make([]string, len(s.command))
	for i, word := range s.command {
		command[i] = strconv.Quote(word)
	}
	text := fmt.Sprintf(`service: %s
instances: 1
resources: {cpus: 0.5, mem: 128MiB}
run: {command: [%s]}
ports: [{name: http, number: %d}]
deploy: {settle: 0s}
%s`, s.name, strings.Join(command, ", "), s.port, s.route)
	file := filepath.Join(b.folder, s.name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	_, err := c.Do(ctx, "deploy", file)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), err
}

// lastPort returns the last of the ports that the agent was told to offer.
func lastPort(c *cluster.Cluster) (int, error) {
	agent, err := c.Part("agent")
	if err != nil {
		return 0, err
	}
	_, flag, _ := strings.Cut(agent.Command, "--ports ")
	ports, _, _ := strings.Cut(flag, " ")
	_, last, _ := strings.Cut(ports, "-")
	port, err := strconv.Atoi(last)
	if err != nil {
		return 0, fmt.Errorf("no ports in the command line of the agent: %s", agent.Command)
	}
	return port, nil
}

// load runs the load generator against the subject for so long, with the CPU time that
// the subject spends.
func (s subject) load(ctx context.Context, connections int, takes time.Duration) (carried, error) {
	before, err := s.cpu()
	if err != nil {
		return carried{}, err
	}
	seen, err := wrk.Run(ctx, wrk.Config{URL: s.url, Host: backendHost, Connections: connections, Takes: takes})
	if err != nil {
		return carried{}, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := s.cpu()
	return carried{
		proxy: s.name, connections: connections, perSecond: seen.PerSecond, p50: seen.P50, p99: seen.P99,
		cpu: (after - before) / time.Duration(max(seen.Requests, 1)),
	}, err
}

// cpu returns what the subject's processes have spent; of the backend nothing.
func (s subject) cpu() (time.Duration, error) {
	if s.pid == 0 {
		return 0, nil
	}
	tree, err := process.Tree(s.pid)
	return tree.CPU, err
}

// caddyRate is Caddy's rate beside that of Go's own proxy, on which it is built.
// The router must not be below it.
const caddyRate = 13.0 / 12

// nginxBar is what the router's rate must be of that of nginx.
const nginxBar = 0.8

// compare holds the router to the rates of nginx and of Go's own proxy.
func (b *bench) compare() {
	find := func(proxy string, connections int) carried {
		for _, c := range b.results.proxies {
			if c.proxy == proxy && c.connections == connections {
				return c
			}
		}
		return carried{}
	}
	rate := func(proxy string, connections int) float64 { return find(proxy, connections).perSecond }
	ours, theirs := find("aloft", barConnections), find("nginx", barConnections)
	b.results.beside = append(b.results.beside, figure{
		what:    "the router's rate beside nginx",
		command: "`wrk --threads 2 --connections 32`",
		bar:     fmt.Sprintf("at least %.1f ×", nginxBar),
		value:   fmt.Sprintf("%.2f ×", ours.perSecond/theirs.perSecond),
		met:     ours.perSecond >= nginxBar*theirs.perSecond,
	}, figure{
		what:    "the router's p99 beside nginx",
		command: "`wrk --threads 2 --connections 32`",
		bar:     "at most " + report.Duration(theirs.p99),
		value:   report.Duration(ours.p99),
		met:     ours.p99 <= theirs.p99,
	})
	for _, connections := range []int{barConnections, manyConnections} {
		ours, theirs := rate("aloft", connections), rate(rival.ReverseProxyName, connections)
		b.results.beside = append(b.results.beside, figure{
			what:    "the router's rate beside " + rival.ReverseProxyName,
			command: fmt.Sprintf("`wrk --threads 2 --connections %d`", connections),
			bar:     fmt.Sprintf("%.2f ×, which Caddy does", caddyRate),
			value:   fmt.Sprintf("%.2f ×", ours/theirs),
			met:     ours >= caddyRate*theirs,
		})
	}
}
