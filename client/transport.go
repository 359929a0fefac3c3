package client

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/keepalive"
)

// transport is the way to the masters. One that cannot answer is found, before its first
// word, too, by pings on the connection.
type transport struct {
	plain  *http.Transport
	secure *http.Transport // to masters behind something that speaks TLS
}

func newTransport(cfg Config) transport {
	plain, secure := new(http.Protocols), new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	secure.SetHTTP2(true)
	dial := cfg.Dial.reporting()
	return transport{
		plain: &http.Transport{Protocols: plain, DialContext: dial.keptAlive(paceOf(cfg.SilentAfter))},
		secure: &http.Transport{
			Protocols: secure, DialContext: dial,
			HTTP2: &http.HTTP2Config{SendPingTimeout: cfg.SilentAfter / 2, PingTimeout: cfg.SilentAfter},
		},
	}
}

// paceOf returns the pace at which a quiet connection speaks. A master takes an agent for
// silent of which nothing came for so long: it is told of it twice in that time, and asked
// each second time whether it is there itself.
func paceOf(silentAfter time.Duration) keepalive.Pace {
	return keepalive.Pace{TellAfter: silentAfter / 2, AskAfter: silentAfter * 7 / 12, AnswerWithin: silentAfter * 2 / 3}
}

// RoundTrip makes a call.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" {
		return t.secure.RoundTrip(req)
	}
	return t.plain.RoundTrip(req)
}

// CloseIdleConnections closes those that no call uses.
func (t transport) CloseIdleConnections() {
	t.plain.CloseIdleConnections()
	t.secure.CloseIdleConnections()
}

// keptAlive has the connections tell and ask at a pace.
func (d Dial) keptAlive(pace keepalive.Pace) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return keepalive.Dialed(conn, pace), nil
	}
}
