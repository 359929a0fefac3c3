package route

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrHost is the error for a host that no rule may have.
	ErrHost = errors.New("not a host")
	// ErrPath is the error for a path that no rule may have.
	ErrPath = errors.New("not a path")
)

// HostLengthMax is the longest host, in bytes, that a rule may have and that is
// looked up. A request with a longer one can only match a rule for any host.
const HostLengthMax = 253

const labelLengthMax = 63

// Rule says which requests are meant: those of a host, below a path.
type Rule struct {
	// Host is in lower case and has no port. Empty means any host, and
	// "*.example.com" any host that ends in ".example.com".
	Host string `json:"host,omitempty"`
	// Path is a prefix that ends on a segment border: "/api" and "/api/" both
	// mean "/api" and all below it, but not "/apis". Empty means "/".
	Path string `json:"path,omitempty"`
}

// Clean returns the one spelling of all rules that mean the same as r.
func (r Rule) Clean() Rule {
	r.Path = strings.TrimSuffix(r.Path, "/")
	if r.Path == "" {
		r.Path = "/"
	}
	return r
}

// String prints the rule as host and path; any host is printed as "*".
func (r Rule) String() string {
	r = r.Clean()
	if r.Host == "" {
		r.Host = "*"
	}
	return r.Host + r.Path
}

// Validate returns every problem of the rule, as errors that wrap ErrHost or
// ErrPath.
func (r Rule) Validate() error {
	return errors.Join(validateHost(r.Host), validatePath(r.Path))
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
