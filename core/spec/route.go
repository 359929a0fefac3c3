package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/resource"
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
			rule: at(optional(prefixRule()), func(r *Route) *string { return &r.Path }),
		},
		field[Route]{
			name: "port", replaces: true,
			doc: "The name of the port that serves; the only one by default. A number is a port of the routers: they relay " +
				"every connection to it, whatever is spoken, and the route has no host and path.",
			rule: entryRule(),
		},
		field[Route]{
			name: "to", doc: "The name of the port that serves, where port is a number; the only one by default.", replaces: true,
			rule: servingRule(true),
		},
		field[Route]{
			name: "hold", doc: "How long a request, or a new connection, waits while no instance is ready.",
			rule: at(durationRule(0, holdMax), func(r *Route) *time.Duration { return &r.Hold }),
		},
	)
}

func defaultRoute() Route { return Route{Path: "/", Hold: 10 * time.Second} }

// entryRule returns a rule for what stands as a route's port: the port of the task
// by its name, or one of the routers by its number.
func entryRule() rule[Route] {
	name, number := servingRule(false), at(optional(countRule(1, resource.PortMax)), func(r *Route) *int { return &r.Listen })
	return rule[Route]{
		shape: shape{form: eitherForm, either: []shape{number.shape, name.shape}},
		read: func(d *decoder, field string, n Node, into *Route) {
			if n.Kind == Scalar && n.literal() == numeric {
				number.read(d, field, n, into)
				return
			}
			name.read(d, field, n, into)
		},
		tree: func(k Kind, from *Route) (Node, bool) {
			if from.IsTCP() {
				return number.tree(k, from)
			}
			return name.tree(k, from)
		},
	}
}

// servingRule returns a rule for the name of the port that serves, written for
// routes of connections or for the others.
func servingRule(connections bool) rule[Route] {
	r := at(optional(nameRule[string]()), func(r *Route) *string { return &r.Port })
	tree := r.tree
	r.tree = func(k Kind, from *Route) (Node, bool) {
		if from.IsTCP() != connections {
			return Node{}, false
		}
		return tree(k, from)
	}
	return r
}

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
		return errors.New("its port is that of the router's own address")
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

// checkRoutes chooses the port of each route and reports routes that stand twice,
// and what does not go together.
func (d *decoder) checkRoutes(s *Spec) {
	for i := range s.Routes {
		field := "route"
		if !d.given(field) {
			field = fmt.Sprintf("routes[%d]", i)
		}
		source := field + ".port"
		if r := &s.Routes[i]; r.IsTCP() {
			source = field + ".to"
			d.checkConnections(field, r)
		} else if d.given(field + ".to") {
			d.problemAt(field+".to", "stands beside no number; want port: 5432 for the port of the routers, or port instead of to")
			continue
		}
		d.choosePort(s, field, source, &s.Routes[i].Port)
	}
	distinct(d, "routes", s.Routes, Route.described)
}

// checkConnections reports what a route of connections cannot have.
func (d *decoder) checkConnections(field string, r *Route) {
	for _, name := range []string{"host", "path"} {
		if d.given(field + "." + name) {
			d.problemAt(field+"."+name, "makes no sense with a number in port: a connection has no %s", name)
		}
	}
	r.Host, r.Path = "", ""
}

// described names the route for messages.
func (r Route) described() string {
	if r.IsTCP() {
		return fmt.Sprintf("the port %d of the routers", r.Listen)
	}
	return "the route " + r.Host + r.Path
}
