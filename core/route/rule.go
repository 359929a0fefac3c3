package route

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrHost is the error for a host that no rule may have.
	ErrHost = errors.New("not a host")
	// ErrPath is the error for a path that no rule may have.
	ErrPath = errors.New("not a path")
	// ErrPort is the error for a port that no rule may have.
	ErrPort = errors.New("not a port")
)

// HostLengthMax is the longest host, in bytes, that a rule may have and that is
// looked up. A request with a longer one can only match a rule for any host.
const HostLengthMax = 253

const (
	labelLengthMax = 63
	portMax        = 65535
)

// Rule says which requests are meant: those of a host, below a path; or, with a
// port, all connections that routers accept there, whatever is spoken on them.
type Rule struct {
	// Host is in lower case and has no port. Empty means any host, and
	// "*.example.com" any host that ends in ".example.com".
	Host string `json:"host,omitempty"`
	// Path is a prefix that ends on a segment border: "/api" and "/api/" both
	// mean "/api" and all below it, but not "/apis". Empty means "/".
	Path string `json:"path,omitempty"`
	// Port is where routers listen for the rule alone. Zero: it is about HTTP, on
	// the port that all such rules share. A rule with a port has no host and path.
	Port int `json:"port,omitempty"`
}

// IsTCP reports whether the rule is about connections rather than requests.
func (r Rule) IsTCP() bool { return r.Port != 0 }

// Clean returns the one spelling of all rules that mean the same as r.
func (r Rule) Clean() Rule {
	r.Path = strings.TrimSuffix(r.Path, "/")
	if r.Path == "" && !r.IsTCP() {
		r.Path = "/"
	}
	return r
}

// String prints the rule as host and path, or as ":port"; any host is printed as
// "*".
func (r Rule) String() string {
	r = r.Clean()
	if r.IsTCP() {
		return r.Host + r.Path + ":" + strconv.Itoa(r.Port)
	}
	if r.Host == "" {
		r.Host = "*"
	}
	return r.Host + r.Path
}

// Validate returns every problem of the rule, as errors that wrap ErrHost,
// ErrPath or ErrPort.
func (r Rule) Validate() error {
	if r.IsTCP() {
		return r.validatePort()
	}
	return errors.Join(validateHost(r.Host), validatePath(r.Path))
}

func (r Rule) validatePort() error {
	if r.Port < 1 || r.Port > portMax {
		return fmt.Errorf("%w: %d: want one from 1 to %d", ErrPort, r.Port, portMax)
	}
	if r = r.Clean(); r.Host != "" || r.Path != "" {
		return fmt.Errorf("%w: %d: a connection has no host and path", ErrPort, r.Port)
	}
	return nil
}

// Conflict returns the first rule of a that b has too.
func Conflict(a, b []Rule) (Rule, bool) {
	taken := make(map[Rule]bool, len(b))
	for _, rule := range b {
		taken[rule.Clean()] = true
	}
	for _, rule := range a {
		if taken[rule.Clean()] {
			return rule, true
		}
	}
	return Rule{}, false
}

func validateHost(host string) error {
	if host == "" {
		return nil
	}
	if len(host) > HostLengthMax {
		return fmt.Errorf("%w: %d bytes are more than %d", ErrHost, len(host), HostLengthMax)
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		if !isLabel(label) {
			return fmt.Errorf("%w: %q: want lower-case letters, digits and inner hyphens between dots, and no port", ErrHost, host)
		}
	}
	return nil
}

// isLabel reports whether label can stand between the dots of a host name.
func isLabel(label string) bool {
	if label == "" || len(label) > labelLengthMax {
		return false
	}
	for i := range len(label) {
		c := label[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if inner := 0 < i && i < len(label)-1; !letter && (c != '-' || !inner) {
			return false
		}
	}
	return true
}

func validatePath(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	rest, rooted := strings.CutPrefix(strings.TrimSuffix(path, "/"), "/")
	if !rooted {
		return fmt.Errorf("%w: %q: it must begin with a slash", ErrPath, path)
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%w: %q: no segment may be empty, %q or %q", ErrPath, path, ".", "..")
		}
	}
	for _, c := range path {
		if c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == '\uFFFD' {
			return fmt.Errorf("%w: %q: it holds %q", ErrPath, path, c)
		}
	}
	return nil
}
