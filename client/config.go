package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/succession"
)

// DefaultAddress is where a master listens unless it is told otherwise.
const DefaultAddress = "http://127.0.0.1:" + defaultPort

// defaultPort is that of an address that names none, whatever its scheme.
const defaultPort = "7117"

// dialWithin bounds how long a connection may take to come about.
const dialWithin = 2 * time.Second

// Config says where the masters are and how to speak with them. Zero fields get
// their defaults.
type Config struct {
	Masters        []string             // addresses; default: DefaultAddress; one without a port means 7117; the first is asked first
	HeartbeatEvery time.Duration        // how often a session says that it is there; default 1s
	SilentAfter    time.Duration        // a session that hears nothing for so long is broken; default 3s
	WelcomeWithin  time.Duration        // the first word of a master may take so long; default 10 times SilentAfter
	Dial           Dial                 // default: TCP
	Clock          func() time.Duration // an agent's own, with which it marks its heartbeats; default: it does not
}

// Dial connects to an address, as net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// reporting makes an error tell that nothing was sent.
func (d Dial) reporting() Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("%s %w: %w", address, errUnreached, err)
		}
		return conn, nil
	}
}

func (c Config) withDefaults() Config {
	if len(c.Masters) == 0 {
		c.Masters = []string{DefaultAddress}
	}
	if c.HeartbeatEvery == 0 {
		c.HeartbeatEvery = time.Second
	}
	if c.SilentAfter == 0 {
		c.SilentAfter = 3 * time.Second
	}
	if c.WelcomeWithin == 0 {
		c.WelcomeWithin = 10 * c.SilentAfter
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: dialWithin}).DialContext
	}
	return c
}

// validate returns the masters that the config names, each once, in the order in which
// they take over from the first. The error joins all problems.
func (c Config) validate() ([]master, error) {
	var addresses []string
	var problems []error
	named := make(map[string]master, len(c.Masters))
	for _, address := range c.Masters {
		m, err := parseMaster(address)
		addresses, problems = append(addresses, m.address), append(problems, err)
		named[m.address] = m
	}
	masters := []master{named[addresses[0]]}
	for _, address := range succession.After(addresses[0], addresses) {
		masters = append(masters, named[address])
	}
	if c.HeartbeatEvery < 0 || c.SilentAfter < 0 || c.WelcomeWithin < 0 {
		problems = append(problems, fmt.Errorf("heartbeats every %v, silence after %v and a welcome within %v; want more than 0",
			c.HeartbeatEvery, c.SilentAfter, c.WelcomeWithin))
	}
	return masters, errors.Join(problems...)
}

// master is one of the masters.
type master struct {
	address string // as a URL
	scheme  string
	host    string
	turn    int64 // when it was the first
}

// CheckAddress says why something is no address of a master.
func CheckAddress(address string) error {
	_, err := parseMaster(address)
	return err
}

func parseMaster(address string) (master, error) {
	text := strings.TrimSuffix(address, "/")
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return master{}, fmt.Errorf("master address: %w", err)
	}
	plain := &url.URL{Scheme: u.Scheme, Host: u.Host}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || *plain != *u {
		return master{}, fmt.Errorf("master address %q: want the form %s", address, DefaultAddress)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	return master{address: u.String(), scheme: u.Scheme, host: u.Host}, nil
}
