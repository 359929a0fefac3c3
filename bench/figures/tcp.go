package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/report"
	"github.com/aloft-run/aloft/bench/rival"
)

// tcpPort is the port of the relayed service. Tasks and systems have others.
const tcpPort = 5431

// relayBar is the part of HAProxy's rate that the router must reach, in the middle of so many
// rounds.
const (
	relayBar    = 0.9
	relayRounds = 15
)

// tcpLoad is what is asked for through a relay.
type tcpLoad struct {
	what, path  string
	connections int
}

// measureTCP runs the router and HAProxy at once as relays of connections to the
// same backend, and loads them in turns.
func (b *bench) measureTCP(ctx context.Context) (err error) {
	c, err := b.startCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	backend, err := b.deployRelayed(ctx, c)
	if err != nil {
		return err
	}
	router, err := c.Part("router")
	if err != nil {
		return err
	}
	haproxy, err := rival.HAProxyTCP(ctx, b.folder, backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, haproxy.Stop()) }()
	ours := subject{"aloft", fmt.Sprintf("http://127.0.0.1:%d", tcpPort), router.PID}
	theirs := subject{"HAProxy", strings.TrimSuffix(haproxy.URL(), "/"), haproxy.PID}
	for _, load := range []tcpLoad{
		{"answers of 3 bytes, 32 connections that are kept", "/", 32},
		{"answers of 1 MiB, 8 connections that are kept", rival.BulkPath, 8},
	} {
		if err := b.compareRelays(ctx, load, ours, theirs); err != nil {
			return err
		}
	}
	return nil
}

// compareRelays holds the rate of one relay to that of the other, round by round.
func (b *bench) compareRelays(ctx context.Context, load tcpLoad, ours, theirs subject) error {
	var ratios []float64
	runs := make(map[string][]carried)
	for round := range relayRounds {
		b.say("relay, %s, round %d of %d", load.what, round+1, relayRounds)
		rates := make(map[string]float64)
		for _, s := range []subject{ours, theirs} {
			s.url += load.path
			run, err := s.load(ctx, load.connections, barRunTakes)
			if err != nil {
				return err
			}
			rates[s.name] = run.perSecond
			runs[s.name] = append(runs[s.name], run)
		}
		ratios = append(ratios, rates[ours.name]/rates[theirs.name])
	}
	ratio := median(ratios)
	how := fmt.Sprintf("`wrk --threads 2 --connections %d`", load.connections)
	b.results.of(tcpSection).add(line{
		what: "the relay's rate beside HAProxy's (mode tcp): " + load.what, command: how, bar: fmt.Sprintf("at least %.1f ×", relayBar),
		median: fmt.Sprintf("%.2f ×", ratio), p99: "-", n: len(ratios), met: ratio >= relayBar,
	})
	for _, s := range []subject{ours, theirs} {
		run := medians(runs[s.name])
		b.results.of(tcpSection).add(line{
			what: fmt.Sprintf("%s: answers/s, CPU each; %s", s.name, load.what), command: how, bar: "-",
			median: fmt.Sprintf("%.0f/s, %s", run.perSecond, run.cost()), p99: report.Duration(run.p99), n: relayRounds, met: true,
		})
	}
	return nil
}

// deployRelayed deploys the backend as a service with a port of its own, and
// returns where it serves.
func (b *bench) deployRelayed(ctx context.Context, c *cluster.Cluster) (string, error) {
	port, err := lastPort(c)
	if err != nil {
		return "", err
	}
	command, err := rival.Backend(b.folder, port)
	if err != nil {
		return "", err
	}
	address, err := b.deployServer(ctx, c, server{name: "relayed", port: port, command: command, route: fmt.Sprintf("route: {port: %d}\n", tcpPort)})
	if err != nil {
		return "", err
	}
	return address, rival.Accepts(ctx, fmt.Sprintf("127.0.0.1:%d", tcpPort))
}
