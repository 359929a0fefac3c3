package store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prefixLengthMax keeps a key's prefix within what a transaction's limits allow
// for each operation.
const prefixLengthMax = 32

// aloneName is the name of a member that is the only one.
const aloneName = "alone"

// Config says where the state is kept: in an etcd member embedded in this
// process, for which it names DataDir, or in an outside cluster, for which it
// names Endpoints. Zero fields get their defaults.
type Config struct {
	// DataDir is the folder of the embedded member, made when it is not there.
	// One process at a time may use it.
	DataDir string
	// Name is this member's name in Cluster. Default: "alone".
	Name string
	// Cluster names the embedded members of a cluster, this one among them, with
	// the URLs on which the others reach them, as in {"m1": "http://10.0.0.1:7118",
	// ...}. One that names this member alone can grow. Default: this member alone,
	// which listens on nothing.
	//
	// When DataDir is new and the cluster, too, it names all, and is the same for
	// all. Later the members know by themselves who is one: what was true once
	// need not be changed.
	Cluster map[string]string
	// Join says that this member was added to a cluster that is there (AddMember),
	// of which Cluster names at least one other member. It counts when DataDir is
	// new.
	Join bool
	// ListenPeer is the URL on which this member awaits the others, with an IP
	// address as its host. Default: its own URL in Cluster.
	ListenPeer string
	// ListenClient is a URL, http://IP:PORT or unix:///PATH, on which the
	// embedded member serves etcd's API to others, without asking who they are:
	// for backups and tools. Default: none, it serves this process alone.
	ListenClient string

	// Endpoints are the URLs of an outside cluster.
	Endpoints []string
	// TLS is how to speak with https endpoints. Default: Go's.
	TLS *tls.Config
	// DialTimeout bounds the first answer of an outside cluster. Default: 5s.
	DialTimeout time.Duration

	// Prefix begins every key in etcd, ends in a slash and has at most 32 bytes.
	// Default: "/aloft/".
	Prefix string
	// Quota is how many bytes the embedded member's file may have; beyond, nothing is
	// written until there is room. All members should have the same. Default: 8 GiB.
	Quota int64
	// TendEvery is how often the embedded member looks after its room. Default: 10s.
	TendEvery time.Duration
	// LeaseTTL is how long a term outlives its process, in whole seconds.
	// Default: 2s, or 10s for a member that is alone: nobody waits to take over,
	// and the next start of it ends the old term at once.
	LeaseTTL time.Duration
	// Limits bound a transaction. Default: 8,000 operations and 12 MiB, or 127
	// and 1.5 MiB for an outside cluster; the new keys of 64 share pairs of etcd's.
	Limits Limits
	// Log takes etcd's warnings and errors. Default: discard.
	Log *slog.Logger
}

func (c Config) outside() bool { return len(c.Endpoints) > 0 }

// alone says that no other process can ever reach the state while this one runs.
func (c Config) alone() bool {
	return !c.outside() && len(c.Cluster) == 0 && c.ListenClient == ""
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = aloneName
	}
	if c.ListenPeer == "" {
		c.ListenPeer = c.Cluster[c.Name]
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.Quota == 0 {
		c.Quota = quotaBytes
	}
	if c.TendEvery == 0 {
		c.TendEvery = tendEvery
	}
	if c.Prefix == "" {
		c.Prefix = "/aloft/"
	}
	if c.LeaseTTL == 0 && c.alone() {
		c.LeaseTTL = 10 * time.Second
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 2 * time.Second
	}
	if c.outside() {
		c.Limits = c.Limits.withDefaults(Limits{Ops: outsideOps, Bytes: outsideBytes})
	} else {
		c.Limits = c.Limits.withDefaults(Limits{Ops: embeddedOps, Bytes: embeddedBytes})
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	switch {
	case c.DataDir == "" && !c.outside():
		problem("DataDir or Endpoints must say where the state is kept")
	case c.DataDir != "" && c.outside():
		problem("DataDir and Endpoints exclude each other")
	case c.outside():
		problems = append(problems, c.validateOutside())
	default:
		problems = append(problems, c.validateEmbedded())
	}
	if c.DialTimeout < 0 {
		problem("DialTimeout is %v; it must be positive", c.DialTimeout)
	}
	if c.Quota < quotaBytesMin {
		problem("Quota is %d bytes; it must be at least %d", c.Quota, quotaBytesMin)
	}
	if c.TendEvery < 0 {
		problem("TendEvery is %v; it must be positive", c.TendEvery)
	}
	if !strings.HasSuffix(c.Prefix, "/") || len(c.Prefix) > prefixLengthMax {
		problem("Prefix is %q; it must end in a slash and have at most %d bytes", c.Prefix, prefixLengthMax)
	}
	if c.LeaseTTL < time.Second || c.LeaseTTL%time.Second != 0 {
		problem("LeaseTTL is %v; it must be whole seconds", c.LeaseTTL)
	}
	return errors.Join(problems...)
}

func (c Config) validateOutside() error {
	var problems []error
	if len(c.Cluster) > 0 || c.ListenPeer != "" || c.ListenClient != "" || c.Join {
		problems = append(problems, errors.New("only an embedded member has Cluster, Join, ListenPeer and ListenClient"))
	}
	for _, endpoint := range c.Endpoints {
		if err := checkURL(endpoint, "http", "https", "unix"); err != nil {
			problems = append(problems, fmt.Errorf("in Endpoints: %w", err))
		}
	}
	return errors.Join(problems...)
}

func (c Config) validateEmbedded() error {
	var problems []error
	if _, ok := c.Cluster[c.Name]; !ok && len(c.Cluster) > 0 {
		problems = append(problems, fmt.Errorf("this member, %q, is not in Cluster", c.Name))
	}
	if c.Join && len(c.Cluster) < 2 {
		problems = append(problems, errors.New("to Join, Cluster must name this member and at least one other"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Cluster)) {
		if err := checkMember(name, c.Cluster[name]); err != nil {
			problems = append(problems, fmt.Errorf("in Cluster: %w", err))
		}
	}
	if c.ListenPeer != "" {
		if err := checkListen(c.ListenPeer, "http"); err != nil {
			problems = append(problems, fmt.Errorf("in ListenPeer: %w", err))
		}
	}
	if c.ListenClient != "" {
		if err := checkListen(c.ListenClient, "http", "unix"); err != nil {
			problems = append(problems, fmt.Errorf("in ListenClient: %w", err))
		}
	}
	if c.Limits.Ops >= memberOpsMax || c.Limits.Bytes > memberBytesMax-requestSpareBytes {
		problems = append(problems, fmt.Errorf("Limits are %d operations and %d bytes; an embedded member takes %d and %d",
			c.Limits.Ops, c.Limits.Bytes, memberOpsMax-1, memberBytesMax-requestSpareBytes))
	}
	return errors.Join(problems...)
}

// checkNewName wants a name that can be read in lists and typed: etcd takes any.
func checkNewName(name string) error {
	const bytesMax = 63
	for _, r := range name {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (r < '0' || '9' < r) && !strings.ContainsRune("-_.", r) {
			return fmt.Errorf("found the name %q; want letters, digits and any of - _ . in it", name)
		}
	}
	if len(name) > bytesMax {
		return fmt.Errorf("found a name of %d bytes; want at most %d", len(name), bytesMax)
	}
	return nil
}

// checkMember wants a name and a URL that etcd can tell from those of others.
func checkMember(name, peerURL string) error {
	if name == "" || strings.ContainsAny(name, ",=") {
		return fmt.Errorf("%q cannot be a member's name", name)
	}
	if err := checkURL(peerURL, "http"); err != nil {
		return fmt.Errorf("member %q: %w", name, err)
	}
	if parsed, err := url.Parse(peerURL); err != nil || parsed.Path != "" {
		return fmt.Errorf("member %q: %q must end with the port", name, peerURL)
	}
	return nil
}

// checkURL wants one of schemes and a host with a port, or a path for "unix".
func checkURL(text string, schemes ...string) error {
	parsed, err := url.Parse(text)
	if err != nil {
		return err //nolint:wrapcheck // it quotes the URL and says what is wrong
	}
	if !slices.Contains(schemes, parsed.Scheme) {
		return fmt.Errorf("%q must begin with %s://", text, strings.Join(schemes, ":// or "))
	}
	if parsed.Scheme == "unix" && parsed.Path == "" || parsed.Scheme != "unix" && parsed.Port() == "" {
		return fmt.Errorf("%q lacks its port or path", text)
	}
	if port := parsed.Port(); port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return fmt.Errorf("%q has the port %s; want 1 to 65535", text, port)
		}
	}
	return nil
}

// checkListen wants an address of this machine besides: a name may be another's.
func checkListen(text string, schemes ...string) error {
	if err := checkURL(text, schemes...); err != nil {
		return err
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return err //nolint:wrapcheck // checkURL has parsed it already
	}
	if host := parsed.Hostname(); parsed.Scheme != "unix" && host != "localhost" && net.ParseIP(host) == nil {
		return fmt.Errorf("%q must have an IP address as its host", text)
	}
	return nil
}
