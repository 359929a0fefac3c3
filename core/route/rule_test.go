package route_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/route"
)

func TestRuleValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule route.Rule
		want error
	}{
		"everything":                     {route.Rule{}, nil},
		"a host":                         {route.Rule{Host: "hello.localhost"}, nil},
		"one label":                      {route.Rule{Host: "hello"}, nil},
		"a wildcard":                     {route.Rule{Host: "*.localhost"}, nil},
		"a path":                         {route.Rule{Path: "/a/b-c/~d"}, nil},
		"a path that ends in a slash":    {route.Rule{Path: "/a/"}, nil},
		"a path in another script":       {route.Rule{Path: "/büro"}, nil},
		"an upper-case host":             {route.Rule{Host: "Hello"}, route.ErrHost},
		"a host with a port":             {route.Rule{Host: "hello:80"}, route.ErrHost},
		"a host with a trailing dot":     {route.Rule{Host: "hello."}, route.ErrHost},
		"a host with an empty label":     {route.Rule{Host: "a..b"}, route.ErrHost},
		"a label that begins with -":     {route.Rule{Host: "-a.b"}, route.ErrHost},
		"a wildcard alone":               {route.Rule{Host: "*"}, route.ErrHost},
		"a wildcard inside":              {route.Rule{Host: "a.*.b"}, route.ErrHost},
		"half a wildcard":                {route.Rule{Host: "a*.b"}, route.ErrHost},
		"a label too long":               {route.Rule{Host: strings.Repeat("a", 64)}, route.ErrHost},
		"a host too long":                {route.Rule{Host: strings.Repeat("a.", 127) + "a"}, route.ErrHost},
		"a path without its first slash": {route.Rule{Path: "a"}, route.ErrPath},
		"a path with an empty segment":   {route.Rule{Path: "/a//b"}, route.ErrPath},
		"only slashes":                   {route.Rule{Path: "//"}, route.ErrPath},
		"a path that climbs":             {route.Rule{Path: "/a/../b"}, route.ErrPath},
		"a path with a dot segment":      {route.Rule{Path: "/./b"}, route.ErrPath},
		"a path with a query":            {route.Rule{Path: "/a?b"}, route.ErrPath},
		"a path with a fragment":         {route.Rule{Path: "/a#b"}, route.ErrPath},
		"a path with a blank":            {route.Rule{Path: "/a b"}, route.ErrPath},
		"a path with a line feed":        {route.Rule{Path: "/a\nb"}, route.ErrPath},
		"a port":                         {route.Rule{Port: 5432}, nil},
		"a port with the path of all":    {route.Rule{Port: 5432, Path: "/"}, nil},
		"a port below all":               {route.Rule{Port: -1}, route.ErrPort},
		"a port above all":               {route.Rule{Port: 65536}, route.ErrPort},
		"a port with a host":             {route.Rule{Port: 5432, Host: "a.b"}, route.ErrPort},
		"a port with a path":             {route.Rule{Port: 5432, Path: "/a"}, route.ErrPort},
		"a path that is not UTF-8":       {route.Rule{Path: "/a\xff"}, route.ErrPath},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if err := tc.rule.Validate(); !errors.Is(err, tc.want) || err != nil && tc.want == nil {
				t.Errorf("Validate(%+v) = %v, want %v", tc.rule, err, tc.want)
			}
		})
	}
}

func TestConflictNamesTheRule(t *testing.T) {
	t.Parallel()
	a := []route.Rule{{Host: "x.org"}, {Host: "y.org", Path: "/api/"}}
	b := []route.Rule{{Host: "y.org", Path: "/api"}, {Host: "y.org"}}

	rule, taken := route.Conflict(a, b)

	if !taken || rule != a[1] || rule.String() != "y.org/api" {
		t.Errorf("Conflict = %s, %v, want %s", rule, taken, a[1])
	}
	if rule, taken = route.Conflict(a[:1], b); taken {
		t.Errorf("Conflict = %s, want none", rule)
	}
	if got := (route.Rule{Port: 5432, Path: "/"}).String(); got != ":5432" {
		t.Errorf("the rule for a port prints as %q", got)
	}
	if got := (route.Rule{}).String(); got != "*/" {
		t.Errorf("the rule for everything prints as %q", got)
	}
}

// TestConflictAgreesWithCompile: two services conflict exactly when no table can
// hold both.
func TestConflictAgreesWithCompile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []route.Rule {
			return rapid.SliceOfNDistinct(rapid.Custom(drawRule), 0, 6, route.Rule.Clean).Draw(t, name)
		}
		a, b := draw("a"), draw("b")

		_, taken := route.Conflict(a, b)
		_, err := route.Compile(route.Table{Services: []route.Service{{Name: "a", Rules: a}, {Name: "b", Rules: b}}})

		if taken != errors.Is(err, route.ErrConflict) {
			t.Errorf("Conflict = %v, Compile = %v", taken, err)
		}
	})
}

func TestVersionsAreOrdered(t *testing.T) {
	t.Parallel()
	ordered := []route.Version{{}, {Seq: 7}, {Epoch: 1}, {Epoch: 1, Seq: 1}, {Epoch: 2}}
	for i, v := range ordered {
		for j, w := range ordered {
			if got, want := v.Less(w), i < j; got != want {
				t.Errorf("%s less than %s = %v", v, w, got)
			}
			if got, want := v.Compare(w) == 0, i == j; got != want {
				t.Errorf("%s same as %s = %v", v, w, got)
			}
		}
	}
	if got := ordered[3].String(); got != "1.1" {
		t.Errorf("prints as %q, want 1.1", got)
	}
}

func TestTableKeepsItsFormOnDisk(t *testing.T) {
	t.Parallel()
	table := route.Table{
		Version: route.Version{Epoch: 3, Seq: 17},
		Services: []route.Service{{
			Name: "hello", Hold: 10 * time.Second, QueueMax: 5,
			Rules:     []route.Rule{{Host: "hello.localhost", Path: "/api"}},
			Endpoints: []route.Endpoint{{Task: "hello-1", Revision: 2, Address: "127.0.0.1:20000"}},
		}},
	}
	const want = `{"version":{"epoch":3,"seq":17},"services":[{"name":"hello","rules":[{"host":"hello.localhost","path":"/api"}],` +
		`"hold":10000000000,"queueMax":5,"endpoints":[{"task":"hello-1","revision":2,"address":"127.0.0.1:20000"}]}]}`

	text, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	var back route.Table
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}

	if string(text) != want {
		t.Errorf("written as %s, want %s", text, want)
	}
	if diff := cmp.Diff(table, back); diff != "" {
		t.Errorf("read back differs (-written +read):\n%s", diff)
	}
}
