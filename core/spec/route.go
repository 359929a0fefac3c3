package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of routes.
const (
	routesMax = 100
	holdMax   = 10 * time.Minute
	hostMax   = 253 // bytes, of a name in the DNS
)

func routeRule() rule[Route] {
	return record(
		defaultRoute(),
		field[Route]{
			name: "host", doc: `The host of a request; "*.example.com" is any name one label longer, and without host it is any.`,
			rule: at(hostRule(), func(r *Route) *string { return &r.Host }),
		},
		field[Route]{
			name: "path", doc: "The path of a request begins with it, at a border between segments.",
			rule: at(prefixRule(), func(r *Route) *string { return &r.Path }),
		},
		field[Route]{
			name: "port", doc: "The name of the port that serves; the only one by default.", replaces: true,
			rule: at(optional(nameRule[string]()), func(r *Route) *string { return &r.Port }),
		},
		field[Route]{
			name: "hold", doc: "How long a request waits while no instance is ready.",
			rule: at(durationRule(0, holdMax), func(r *Route) *time.Duration { return &r.Hold }),
		},
	)
}

func defaultRoute() Route { return Route{Path: "/", Hold: 10 * time.Second} }

// hostRule returns a rule for a host name, kept in lower case.
func hostRule() rule[string] {
	l := textLeaf("a host such as www.example.com or *.example.com", `^(\*\.)?[A-Za-z0-9.-]+$`, checkHost)
	parse := l.parse
	l.parse = func(text string) (string, error) { return parse(strings.ToLower(text)) }
	return optional(l.quoting())
}

func checkHost(host string) error {
	if host == "*" {
		return errors.New("leave host out for any")
	}
	if strings.Contains(host, ":") {
		return errors.New("a route has no port number, which the router's own address tells")
	}
	if len(host) > hostMax {
		return errForm
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		edges := strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-")
		if !isWord(label, "-") || edges || len(label) > 63 {
			return errForm
		}
	}
	return nil
}

// prefixRule returns a rule for a route's path, kept without a slash at its end.
func prefixRule() rule[string] {
	l := textLeaf("a path such as /api", "^/[^?#]*$", checkPrefix)
	parse := l.parse
	l.parse = func(text string) (string, error) {
		if len(text) > 1 {
			text = strings.TrimSuffix(text, "/")
		}
		return parse(text)
	}
	return l.quoting()
}

func checkPrefix(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return errForm
	case !isPlain(path) || strings.ContainsAny(path, "?#"):
		return errors.New("it has a space, ?, # or a character that cannot be seen")
	case path == "/":
		return nil
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("it has a segment that requests never have")
		}
	}
	return nil
}

// pathRule returns a rule for what an http probe asks for.
func pathRule() rule[string] {
	return textLeaf("a path such as /ready", "^/", func(path string) error {
		if !strings.HasPrefix(path, "/") || !isPlain(path) {
			return errForm
		}
		return nil
	}).quoting()
}

// checkRoutes chooses the port of each route and reports routes that stand twice.
func (d *decoder) checkRoutes(s *Spec) {
	for i := range s.Routes {
		field := "route"
		if !d.given(field) {
			field = fmt.Sprintf("routes[%d]", i)
		}
		d.choosePort(s, field, field+".port", &s.Routes[i].Port)
	}
	distinct(d, "routes", s.Routes, func(r Route) string { return "the route " + r.Host + r.Path })
}
