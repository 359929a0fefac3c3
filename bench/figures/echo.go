package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/bench/report"
	"github.com/aloft-run/aloft/bench/rival"
)

// echoHost is that of the WebSocket server.
const echoHost = "echo.localhost"

// errNotUpgraded is the error for a proxy that does not switch to WebSocket.
var errNotUpgraded = errors.New("the connection was not upgraded")

// echoes sends messages over connections that were upgraded to WebSocket, on each one
// after the echo of the one before.
func echoes(ctx context.Context, s subject) (ran, error) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range trafficConnections {
		c, err := upgrade(ctx, s)
		if err != nil {
			return ran{}, err
		}
		conns = append(conns, c)
	}
	took, problems := make([][]time.Duration, len(conns)), make([]error, len(conns))
	began := time.Now()
	var speaking sync.WaitGroup
	for i, c := range conns {
		speaking.Go(func() { took[i], problems[i] = speak(c, began.Add(trafficTakes)) })
	}
	speaking.Wait()
	ended := time.Since(began)
	all := slices.Concat(took...)
	slices.Sort(all)
	return ran{
		len(all), float64(len(all)) / ended.Seconds(),
		fmt.Sprintf("p50 %s, p99 %s", report.Duration(report.Quantile(all, 50)), report.Duration(report.Quantile(all, 99))),
	}, errors.Join(problems...)
}

// upgrade opens a connection through a proxy and switches to WebSocket.
func upgrade(ctx context.Context, s subject) (net.Conn, error) {
	at, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", echoHost)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // nothing comes behind it before a message is sent
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	_ = res.Body.Close() // there is none
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.Join(fmt.Errorf("%w: %s", errNotUpgraded, res.Status), conn.Close())
	}
	return conn, nil
}

// speak sends messages until a time, and returns how long each took to come back.
func speak(conn net.Conn, until time.Time) (took []time.Duration, err error) {
	message, in := rival.Message(), bufio.NewReader(conn)
	for began := time.Now(); began.Before(until); began = time.Now() {
		if _, err := conn.Write(message); err != nil {
			return took, err
		}
		if err := rival.ReadEcho(in); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
