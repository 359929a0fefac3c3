package spec

import (
	"errors"
	"strings"
	"time"
)

// Limits of a probe.
const (
	probeEveryMin   = 10 * time.Millisecond
	probeEveryMax   = time.Hour
	probeTimeoutMin = time.Millisecond
	failuresMax     = 1000
)

// String returns the kind as a spec file names it.
func (k ProbeKind) String() string {
	names := []string{"none", "http", "tcp", "grpc", "command"}
	if int(k) >= len(names) {
		return ""
	}
	return names[k]
}

// probeRule returns the rule for a probe that has the times of start where the
// document is silent.
func probeRule(start Probe) rule[Probe] {
	r := record(
		start,
		field[Probe]{
			name: "http", doc: "Ask by GET of this path; a status from 200 to 399 is good.",
			rule: asking(HTTPProbe, at(pathRule(), func(p *Probe) *string { return &p.Path })),
		},
		field[Probe]{
			name: "tcp", doc: "Ask by connecting: true, or the name of the port.",
			rule: asking(TCPProbe, tcpRule()),
		},
		field[Probe]{
			name: "grpc", doc: "Ask the gRPC health service: true, or the name of a service.",
			rule: asking(GRPCProbe, grpcRule()),
		},
		field[Probe]{
			name: "command", doc: "Ask by running a program in the sandbox; exit code 0 is good.",
			rule: asking(CommandProbe, at(commandRule(), func(p *Probe) *[]string { return &p.Command })),
		},
		field[Probe]{
			name: "port", doc: "The name of the port; the only one by default.",
			rule: at(optional(nameRule[string]()), func(p *Probe) *string { return &p.Port }),
		},
		field[Probe]{
			name: "every", doc: "How long from one question to the next.",
			rule: at(durationRule(probeEveryMin, probeEveryMax), func(p *Probe) *time.Duration { return &p.Every }),
		},
		field[Probe]{
			name: "timeout", doc: "How long an answer may take.",
			rule: at(durationRule(probeTimeoutMin, probeEveryMax), func(p *Probe) *time.Duration { return &p.Timeout }),
		},
		field[Probe]{
			name: "failures", doc: "So many bad answers in a row turn good into bad.",
			rule: at(countRule(1, failuresMax), func(p *Probe) *int { return &p.Failures }),
		},
	)
	read, tree := r.read, r.tree
	r.read = func(d *decoder, field string, n Node, into *Probe) {
		*into = start
		read(d, field, n, into)
		if n.Kind == Map && into.Kind == NoProbe {
			d.problemAt(field, "wants one of http, tcp, grpc and command")
		}
	}
	r.tree = func(k Kind, from *Probe) (Node, bool) {
		if from.Kind == NoProbe {
			return Node{}, false
		}
		return tree(k, from)
	}
	return r
}

// asking returns a rule for the field that makes a probe one of that kind.
func asking(kind ProbeKind, r rule[Probe]) rule[Probe] {
	return rule[Probe]{
		shape: r.shape,
		read: func(d *decoder, field string, n Node, into *Probe) {
			if into.Kind != NoProbe && into.Kind != kind {
				d.report(n, field, "a probe asks in one way, and %s is there already", into.Kind)
				return
			}
			into.Kind = kind
			r.read(d, field, n, into)
		},
		tree: func(k Kind, from *Probe) (Node, bool) {
			if from.Kind != kind {
				return Node{}, false
			}
			return r.tree(k, from)
		},
	}
}

// tcpRule reads true, or the name of the port.
func tcpRule() rule[Probe] {
	called := at(nameRule[string](), func(p *Probe) *string { return &p.Port })
	return rule[Probe]{
		shape: shape{form: eitherForm, either: []shape{{form: flagForm}, called.shape}},
		read: func(d *decoder, field string, n Node, into *Probe) {
			switch {
			case n.isTrue():
			case n.Kind != Scalar || n.literal() != textual:
				d.report(n, field, "found %s; want true, or the name of a port", n.described())
			case into.Port != "":
				d.report(n, field, "names a port, and port is there already")
			default:
				called.read(d, field, n, into)
			}
		},
		tree: func(Kind, *Probe) (Node, bool) { return bareNode("true"), true },
	}
}

// grpcRule reads true, or the name of a service.
func grpcRule() rule[Probe] {
	service := at(textLeaf("true, or the name of a service", "", noSpace).quoting(), func(p *Probe) *string { return &p.Service })
	return rule[Probe]{
		shape: shape{form: eitherForm, either: []shape{{form: flagForm}, service.shape}},
		read: func(d *decoder, field string, n Node, into *Probe) {
			if !n.isTrue() {
				service.read(d, field, n, into)
			}
		},
		tree: func(k Kind, from *Probe) (Node, bool) {
			if from.Service == "" {
				return bareNode("true"), true
			}
			return service.tree(k, from)
		},
	}
}

func (n Node) isTrue() bool {
	return n.Kind == Scalar && n.literal() == flagged && strings.EqualFold(n.Value, "true")
}

func noSpace(text string) error {
	if !isPlain(text) {
		return errors.New("it has a space or a character that cannot be seen")
	}
	return nil
}

// checkProbe reports what is wrong with the whole of a probe, and chooses its
// port.
func (d *decoder) checkProbe(s *Spec, field string, p *Probe) {
	switch p.Kind {
	case NoProbe:
	case CommandProbe:
		if d.given(field + ".port") {
			d.problemAt(field+".port", "makes no sense for a command, which finds ports in its environment")
		}
		if len(p.Command) > 0 && p.Command[0] == "" {
			d.problemAt(field+".command", "the program has no name")
		}
	default:
		source := field + ".port"
		if !d.given(source) {
			source = field + ".tcp"
		}
		d.choosePort(s, field, source, &p.Port)
	}
}
