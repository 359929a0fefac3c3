package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/resource"
)

// portsMax is the most ports of one task.
const portsMax = 100

func portRule() rule[Port] {
	called := at(nameRule[string](), func(p *Port) *string { return &p.Name })
	long := record(
		Port{},
		field[Port]{name: "name", doc: "The port is given to the task as PORT_<NAME>.", required: true, rule: called},
		field[Port]{
			name: "number", doc: "This port and no other; without it, any free one of the agent's.",
			rule: at(optional(countRule(1, resource.PortMax)), func(p *Port) *int { return &p.Number }),
		},
	)
	return either(called, long, func(p *Port) bool { return p.Number == 0 })
}

// Variable returns the name of the variable that tells a task its port.
func (p Port) Variable() string {
	return "PORT_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
}

// portNames returns the names of the ports of s, each once.
func (s *Spec) portNames() []string {
	var names []string
	for _, p := range s.Ports {
		if p.Name != "" && !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// checkPorts reports names and numbers that stand twice.
func (d *decoder) checkPorts(s *Spec) {
	distinct(d, "ports", s.Ports, func(p Port) string {
		if p.Name == "" {
			return ""
		}
		return "the port " + p.Name
	})
	distinct(d, "ports", s.Ports, func(p Port) string {
		if p.Number == 0 {
			return ""
		}
		return fmt.Sprintf("the number %d", p.Number)
	})
	for _, p := range s.Ports {
		if _, taken := s.Run.Env[p.Variable()]; taken && p.Name != "" {
			d.problemAt("run.env."+p.Variable(), "is taken: aloft tells the task its port %s in it", p.Name)
		}
	}
}

// choosePort sets the port of the probe or route at field: the only one if none
// is given, else the one given at source, which must be there.
func (d *decoder) choosePort(s *Spec, field, source string, port *string) {
	names := s.portNames()
	switch {
	case *port != "" && s.Ported(*port):
	case *port != "":
		d.problemAt(source, "unknown port %q; %s", *port, suggestion(*port, names))
	case source != field+".tcp" && d.given(source): // it is bad, and that is reported
	case len(names) == 1:
		*port = names[0]
	case len(names) == 0 && !d.given("ports"):
		d.problemAt(field, "needs a port, and the task has none; add one, as in ports: [http]")
	case len(names) > 1:
		d.problemAt(field, "needs a port: one of %s", strings.Join(names, ", "))
	}
}
