package route

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/id"
)

// ErrConflict is the error for a table in which two services, or two endpoints
// of a service, claim the same thing.
var ErrConflict = errors.New("claimed twice")

// Matcher is a compiled table. It is safe for concurrent use.
type Matcher struct {
	exact    map[string]prefixes // by host
	wildcard map[string]prefixes // by the host without its "*."
	other    prefixes
	ports    map[int]int // the service of each port with a rule of its own
}

// Compile checks the table and makes it quick to ask. It reports every problem:
// rules and addresses that are malformed, and services that share a name, a rule
// or, within one service, a task.
func Compile(table Table) (*Matcher, error) {
	m := &Matcher{exact: map[string]prefixes{}, wildcard: map[string]prefixes{}, ports: map[int]int{}}
	names := make(map[id.Service]bool, len(table.Services))
	owners := make(map[Rule]id.Service, len(table.Services))
	var problems []error
	for i, service := range table.Services {
		if names[service.Name] {
			problems = append(problems, fmt.Errorf("service %s: the name: %w", service.Name, ErrConflict))
		}
		names[service.Name] = true
		for _, rule := range service.Rules {
			if err := rule.Validate(); err != nil {
				problems = append(problems, fmt.Errorf("service %s: rule %s: %w", service.Name, rule, err))
				continue
			}
			rule = rule.Clean()
			if owner, taken := owners[rule]; taken {
				problems = append(problems, fmt.Errorf("service %s: rule %s: %w: service %s has it", service.Name, rule, ErrConflict, owner))
				continue
			}
			owners[rule] = service.Name
			m.add(rule, i)
		}
		problems = append(problems, validateEndpoints(service)...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	m.finish()
	return m, nil
}

func validateEndpoints(service Service) []error {
	var problems []error
	seen := make(map[id.Task]bool, len(service.Endpoints))
	for _, endpoint := range service.Endpoints {
		if seen[endpoint.Task] {
			problems = append(problems, fmt.Errorf("service %s: task %s: %w", service.Name, endpoint.Task, ErrConflict))
		}
		seen[endpoint.Task] = true
		if !isAddress(endpoint.Address) {
			problems = append(problems, fmt.Errorf("service %s: task %s: address %q is not host:port", service.Name, endpoint.Task, endpoint.Address))
		}
	}
	return problems
}

func isAddress(address string) bool {
	colon := strings.LastIndexByte(address, ':')
	if colon < 1 {
		return false
	}
	port, err := strconv.ParseUint(address[colon+1:], 10, 16)
	host := address[:colon]
	bracketed := host[0] == '[' && host[len(host)-1] == ']'
	return err == nil && port > 0 && (bracketed || !strings.ContainsAny(host, ":[] /"))
}

func (m *Matcher) add(rule Rule, service int) {
	if rule.IsTCP() {
		m.ports[rule.Port] = service
		return
	}
	entry := prefix{path: strings.TrimSuffix(rule.Path, "/") + "/", service: service}
	if suffix, wild := strings.CutPrefix(rule.Host, "*."); wild {
		m.wildcard[suffix] = append(m.wildcard[suffix], entry)
	} else if rule.Host != "" {
		m.exact[rule.Host] = append(m.exact[rule.Host], entry)
	} else {
		m.other = append(m.other, entry)
	}
}

func (m *Matcher) finish() {
	for _, list := range m.exact {
		list.sort()
	}
	for _, list := range m.wildcard {
		list.sort()
	}
	m.other.sort()
}

// Match returns the index, in the compiled table, of the service that a request
// with this Host header and this decoded path belongs to. The host may carry a
// port, a trailing dot and upper-case letters. If a host's rules do not cover the
// path, those of the next less particular host are asked.
func (m *Matcher) Match(host, path string) (service int, ok bool) {
	if path == "" || path[0] != '/' {
		path = "/" // the asterisk of OPTIONS, or an absolute URL without a path
	}
	if host = cleanHost(host); len(host) <= HostLengthMax {
		if service, ok = m.exact[host].find(path); ok {
			return service, true
		}
		for rest := host; len(m.wildcard) > 0; {
			dot := strings.IndexByte(rest, '.')
			if dot < 0 {
				break
			}
			rest = rest[dot+1:]
			if service, ok = m.wildcard[rest].find(path); ok {
				return service, true
			}
		}
	}
	return m.other.find(path)
}

// MatchPort returns the index, in the compiled table, of the service that a
// connection to this port belongs to.
func (m *Matcher) MatchPort(port int) (service int, ok bool) {
	service, ok = m.ports[port]
	return service, ok
}

// Ports returns the ports that have a rule of their own, in order.
func (m *Matcher) Ports() []int { return slices.Sorted(maps.Keys(m.ports)) }

// cleanHost returns the host without port and trailing dot and in lower case. It
// allocates only for a host with upper-case letters.
func cleanHost(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && strings.IndexByte(host[colon:], ']') < 0 {
		host = host[:colon]
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > HostLengthMax {
		return host
	}
	return strings.ToLower(host)
}

// prefix is one rule's path, kept with a slash at its end so that it is a prefix
// of another path, with a slash at its end, only on a segment border.
type prefix struct {
	path    string
	service int
	parent  int // the longest other prefix in the list that is a prefix of this one, or -1
}

// prefixes are the rules of one host, ordered by path.
type prefixes []prefix

func (p prefixes) sort() {
	slices.SortFunc(p, func(a, b prefix) int { return cmp.Compare(a.path, b.path) })
	for i := range p {
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(p[i].path, p[parent].path) {
			parent = p[parent].parent
		}
		p[i].parent = parent
	}
}

// find returns the service of the longest prefix that covers path. All prefixes
// of a path are also prefixes of the last entry that is not after it, so that
// they are found by going up from there.
func (p prefixes) find(path string) (service int, ok bool) {
	after, exact := slices.BinarySearchFunc(p, path, comparePrefix)
	if exact {
		return p[after].service, true
	}
	for i := after - 1; i >= 0; i = p[i].parent {
		if covers(p[i].path, path) {
			return p[i].service, true
		}
	}
	return 0, false
}

// comparePrefix orders a prefix and a path as if the path ended in a slash.
func comparePrefix(entry prefix, path string) int {
	if strings.HasSuffix(path, "/") {
		return cmp.Compare(entry.path, path)
	}
	if len(entry.path) <= len(path) {
		return cmp.Compare(entry.path, path)
	}
	return cmp.Or(cmp.Compare(entry.path[:len(path)], path), cmp.Compare(entry.path[len(path):], "/"))
}

// covers reports whether path, as if it ended in a slash, begins with prefix.
func covers(prefix, path string) bool {
	return strings.HasPrefix(path, prefix) || len(prefix) == len(path)+1 && prefix[:len(path)] == path
}
