package route_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// tableOf returns a table with one service for each rule, in order.
func tableOf(rules ...route.Rule) route.Table {
	var table route.Table
	for i, rule := range rules {
		table.Services = append(table.Services, route.Service{Name: id.Service(fmt.Sprintf("s%d", i)), Rules: []route.Rule{rule}})
	}
	return table
}

func TestMatchPrefersTheMoreParticularRule(t *testing.T) {
	t.Parallel()
	table := tableOf(
		route.Rule{},
		route.Rule{Path: "/api"},
		route.Rule{Host: "*.example.com"},
		route.Rule{Host: "*.eu.example.com", Path: "/api/"},
		route.Rule{Host: "www.example.com", Path: "/shop"},
		route.Rule{Host: "www.example.com", Path: "/shop/cart"},
		route.Rule{Host: "www.example.com", Path: "/shop-old"},
	)
	m, err := route.Compile(table)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		host, path string
		want       int
	}{
		"any host, any path":                       {"other.org", "/", 0},
		"no host at all":                           {"", "/x", 0},
		"any host, longer path":                    {"other.org", "/api/v1", 1},
		"the rule's own path":                      {"other.org", "/api", 1},
		"the rule's own path with a slash":         {"other.org", "/api/", 1},
		"a path that only begins alike":            {"other.org", "/apis", 0},
		"the asterisk of OPTIONS":                  {"other.org", "*", 0},
		"an empty path":                            {"other.org", "", 0},
		"wildcard before any":                      {"a.example.com", "/api", 2},
		"wildcard over two labels":                 {"a.b.example.com", "/", 2},
		"a wildcard does not cover its own name":   {"example.com", "/", 0},
		"the longer wildcard":                      {"a.eu.example.com", "/api/x", 3},
		"the shorter where the longer has no path": {"a.eu.example.com", "/x", 2},
		"exact before wildcard":                    {"www.example.com", "/shop", 4},
		"the longest path":                         {"www.example.com", "/shop/cart/7", 5},
		"a neighbour in the order of paths":        {"www.example.com", "/shop-old/x", 6},
		"a path between neighbours":                {"www.example.com", "/shop/a", 4},
		"wildcard where exact has no path":         {"www.example.com", "/", 2},
		"port":                                     {"www.example.com:8080", "/shop", 4},
		"trailing dot":                             {"www.example.com.", "/shop", 4},
		"trailing dot and port":                    {"www.example.com.:80", "/shop", 4},
		"upper case":                               {"WWW.Example.COM", "/shop", 4},
		"an IPv6 address with port":                {"[::1]:8080", "/api", 1},
		"an IPv6 address":                          {"[::1]", "/api", 1},
		"a host too long for any rule":             {strings.Repeat("a.", 4000) + "example.com", "/", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, ok := m.Match(tc.host, tc.path)

			if !ok || got != tc.want {
				t.Errorf("Match(%q, %q) = %d, %v, want %d", tc.host, tc.path, got, ok, tc.want)
			}
		})
	}
}

// TestPortsAreApart: a port is found by its number, and by nothing that a request
// says.
func TestPortsAreApart(t *testing.T) {
	t.Parallel()
	m, err := route.Compile(tableOf(route.Rule{Port: 6379}, route.Rule{Host: "a.b"}, route.Rule{Port: 5432}))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := m.MatchPort(5432); !ok || got != 2 {
		t.Errorf("MatchPort(5432) = %d, %v, want 2", got, ok)
	}
	if got, ok := m.MatchPort(80); ok {
		t.Errorf("MatchPort(80) = %d, want none", got)
	}
	if got := m.Ports(); !slices.Equal(got, []int{5432, 6379}) {
		t.Errorf("Ports = %v", got)
	}
	if got, ok := m.Match("", "/"); ok {
		t.Errorf("a request is matched to the port of service %d", got)
	}
}

func TestMatchFindsNothingWithoutARule(t *testing.T) {
	t.Parallel()
	m, err := route.Compile(tableOf(route.Rule{Host: "a.example.com", Path: "/x"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a.example.com", "b.example.com", ""} {
		if got, ok := m.Match(host, "/y"); ok {
			t.Errorf("Match(%q, /y) = %d, want none", host, got)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	endpoint := route.Endpoint{Task: "t1", Revision: 1, Address: "10.0.0.1:80"}
	tests := map[string]struct {
		services []route.Service
		is       error
		says     string
	}{
		"a rule of two services": {
			services: []route.Service{
				{Name: "a", Rules: []route.Rule{{Host: "x.org", Path: "/api"}}},
				{Name: "b", Rules: []route.Rule{{Host: "x.org", Path: "/api/"}}},
			},
			is: route.ErrConflict, says: "service b: rule x.org/api: claimed twice: service a has it",
		},
		"a port of two services": {
			services: []route.Service{{Name: "a", Rules: []route.Rule{{Port: 53}}}, {Name: "b", Rules: []route.Rule{{Port: 53}}}},
			is:       route.ErrConflict, says: "service b: rule :53: claimed twice: service a has it",
		},
		"a name twice": {
			services: []route.Service{{Name: "a"}, {Name: "a"}},
			is:       route.ErrConflict, says: "service a: the name: claimed twice",
		},
		"a task twice in one service": {
			services: []route.Service{{Name: "a", Endpoints: []route.Endpoint{endpoint, endpoint}}},
			is:       route.ErrConflict, says: "service a: task t1: claimed twice",
		},
		"a bad host": {
			services: []route.Service{{Name: "a", Rules: []route.Rule{{Host: "x.org:80"}}}},
			is:       route.ErrHost, says: `"x.org:80"`,
		},
		"a bad path": {
			services: []route.Service{{Name: "a", Rules: []route.Rule{{Path: "api"}}}},
			is:       route.ErrPath, says: "begin with a slash",
		},
		"an address without a port": {
			services: []route.Service{{Name: "a", Endpoints: []route.Endpoint{{Task: "t1", Address: "10.0.0.1"}}}},
			says:     `address "10.0.0.1" is not host:port`,
		},
		"an address with an empty host": {
			services: []route.Service{{Name: "a", Endpoints: []route.Endpoint{{Task: "t1", Address: ":80"}}}},
			says:     `address ":80" is not host:port`,
		},
		"an address with port zero": {
			services: []route.Service{{Name: "a", Endpoints: []route.Endpoint{{Task: "t1", Address: "h:0"}}}},
			says:     `address "h:0" is not host:port`,
		},
		"an IPv6 address without brackets": {
			services: []route.Service{{Name: "a", Endpoints: []route.Endpoint{{Task: "t1", Address: "::1:80"}}}},
			says:     `address "::1:80" is not host:port`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := route.Compile(route.Table{Services: tc.services})

			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("Compile = %v, want an error that says %q", err, tc.says)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("Compile = %v, want one that is %v", err, tc.is)
			}
		})
	}
}

func TestCompileReportsEveryProblem(t *testing.T) {
	t.Parallel()

	_, err := route.Compile(tableOf(route.Rule{Host: "-"}, route.Rule{Path: "x"}, route.Rule{}, route.Rule{}))

	for _, want := range []error{route.ErrHost, route.ErrPath, route.ErrConflict} {
		if !errors.Is(err, want) {
			t.Errorf("Compile = %v, which does not tell that a rule is %v", err, want)
		}
	}
}

func TestCompileTakesAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"10.0.0.1:80", "[::1]:8080", "host.example:65535"} {
		service := route.Service{Name: "a", Endpoints: []route.Endpoint{{Task: "t1", Address: address}}}
		if _, err := route.Compile(route.Table{Services: []route.Service{service}}); err != nil {
			t.Errorf("Compile with address %s: %v", address, err)
		}
	}
}

// slowMatch is the obvious way: it looks at every rule of every service and
// keeps the best.
func slowMatch(table route.Table, host, path string) (service int, ok bool) {
	if path == "" || path[0] != '/' {
		path = "/"
	}
	if i := strings.LastIndex(host, ":"); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	whole := path
	if !strings.HasSuffix(whole, "/") {
		whole += "/"
	}
	best := -1
	for i, candidate := range table.Services {
		for _, rule := range candidate.Rules {
			class := hostClass(rule.Host, host)
			prefix := strings.TrimSuffix(rule.Path, "/") + "/"
			if rule.IsTCP() || class < 0 || !strings.HasPrefix(whole, prefix) {
				continue
			}
			if score := class<<20 + len(prefix); score > best {
				best, service = score, i
			}
		}
	}
	return service, best >= 0
}

// hostClass says how particular a rule's host is for a host, or -1 where the
// rule does not cover it.
func hostClass(rule, host string) int {
	switch {
	case rule == "":
		return 0
	case len(host) > route.HostLengthMax:
		return -1
	case rule == host:
		return 1000
	case strings.HasPrefix(rule, "*.") && strings.HasSuffix(host, rule[1:]):
		return len(rule)
	}
	return -1
}

// drawRule draws from few names, so that hosts and paths nest and collide.
func drawRule(t *rapid.T) route.Rule {
	label := rapid.SampledFrom([]string{"a", "b", "a-b"})
	var rule route.Rule
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 3:
		return route.Rule{Port: rapid.IntRange(1, 9).Draw(t, "port")}
	case 1:
		rule.Host = strings.Join(rapid.SliceOfN(label, 1, 3).Draw(t, "host"), ".")
	case 2:
		rule.Host = "*." + strings.Join(rapid.SliceOfN(label, 1, 2).Draw(t, "suffix"), ".")
	}
	if n := rapid.IntRange(0, 3).Draw(t, "depth"); n > 0 {
		rule.Path = "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "x-y", "x.y", "ü"}), n, n).Draw(t, "path"), "/")
	}
	return rule
}

func TestMatchAgreesWithTheSlowWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfNDistinct(rapid.Custom(drawRule), 0, 30, route.Rule.Clean).Draw(t, "rules")
		table := tableOf(rules...)
		m, err := route.Compile(table)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			host := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a-b", "A"}), 0, 4).Draw(t, "labels"), ".") +
				rapid.SampledFrom([]string{"", ":80", "."}).Draw(t, "end")
			path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "x-y", "x.y", "ü", ""}), 0, 5).Draw(t, "segments"), "/")

			got, ok := m.Match(host, path)

			if want, wantOK := slowMatch(table, host, path); got != want || ok != wantOK {
				t.Fatalf("Match(%q, %q) = %d, %v, want %d, %v", host, path, got, ok, want, wantOK)
			}
		}
	})
}

func FuzzMatchAgreesWithTheSlowWay(f *testing.F) {
	f.Add("*.a.b\x00/x\n\x00/\na.b\x00/x/y", "c.a.b:80", "/x/y/z")
	f.Add("a\x00/\nb\x00/x-y\nb\x00/x", "B.", "/x/")
	f.Add("\x00/a//", "", "//")
	f.Fuzz(func(t *testing.T, text, host, path string) {
		var table route.Table
		seen := map[route.Rule]bool{}
		for line := range strings.SplitSeq(text, "\n") {
			ruleHost, rulePath, _ := strings.Cut(line, "\x00")
			rule := route.Rule{Host: ruleHost, Path: rulePath}
			if rule.Validate() == nil && !seen[rule.Clean()] {
				seen[rule.Clean()] = true
				table.Services = append(table.Services, route.Service{Name: id.Service(fmt.Sprint(len(seen))), Rules: []route.Rule{rule}})
			}
		}
		m, err := route.Compile(table)
		if err != nil {
			t.Fatal(err)
		}

		got, ok := m.Match(host, path)

		if want, wantOK := slowMatch(table, host, path); got != want || ok != wantOK {
			t.Errorf("Match(%q, %q) = %d, %v, want %d, %v", host, path, got, ok, want, wantOK)
		}
	})
}

// manyRules returns a table of n services with hosts, wildcards and paths.
func manyRules(n int) route.Table {
	var rules []route.Rule
	for i := range n {
		rules = append(rules, route.Rule{Host: fmt.Sprintf("s%d.example.com", i%1000), Path: fmt.Sprintf("/v%d/api", i/1000)})
	}
	return tableOf(append(rules, route.Rule{Host: "*.example.com"}, route.Rule{})...)
}

func TestMatchAllocatesNothing(t *testing.T) {
	m, err := route.Compile(manyRules(2000))
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string][2]string{
		"exact":    {"s7.example.com:8080", "/v1/api/users/1"},
		"wildcard": {"deep.down.example.com", "/v1"},
		"any":      {"elsewhere.org", "/"},
	}
	for name, request := range requests {
		if n := testing.AllocsPerRun(100, func() { m.Match(request[0], request[1]) }); n != 0 {
			t.Errorf("%s: Match allocates %v times", name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, services := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			m, err := route.Compile(manyRules(services))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.Match("s7.example.com:8080", "/v0/api/users/1")
			}
		})
	}
	b.Run("obvious/services=1000", func(b *testing.B) {
		table := manyRules(1000)
		for b.Loop() {
			slowMatch(table, "s7.example.com:8080", "/v0/api/users/1")
		}
	})
}
