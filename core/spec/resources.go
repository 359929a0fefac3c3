package spec

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// cpuMillis and memoryBytes are what a task takes that does not say.
const (
	cpuMillis   = 100
	memoryBytes = 64 << 20
)

// measure is a resource type that a spec names directly.
type measure struct {
	kind         resource.Type
	doc, example string
}

func measures() []measure {
	return []measure{
		{resource.CPUs, "Cores, to a thousandth: 2, 0.5 or 500m.", "0.5 or 500m"},
		{resource.Mem, "Memory: 256MiB, 1GB.", "256MiB or 1GB"},
		{resource.Disk, "Disk space: 10GiB, 500MB.", "10GiB or 500MB"},
		{resource.GPUs, "Whole devices.", "2"},
	}
}

// resourcesRule returns the rule for what a task takes.
func resourcesRule(start resource.Vector) rule[resource.Vector] {
	return rule[resource.Vector]{
		shape: resourcesShape(start),
		read:  readResources,
		tree: func(_ Kind, from *resource.Vector) (Node, bool) {
			node := Node{Kind: Map}
			for t, q := range from.All() {
				node = node.with(string(t), quantityNode(t, q))
			}
			return node, len(node.Entries) > 0
		},
	}
}

func resourcesShape(start resource.Vector) shape {
	amount := shape{form: textForm, numbers: true}
	s := shape{form: recordForm, items: &amount, keys: labelPattern}
	for _, m := range measures() {
		p := property{name: string(m.kind), doc: m.doc, shape: amount}
		if q, ok := start.Get(m.kind); ok {
			p.preset, p.hasPreset = quantityNode(m.kind, q), true
		}
		s.fields = append(s.fields, p)
	}
	return s
}

func quantityNode(t resource.Type, q resource.Quantity) Node {
	node := bareNode(resource.Format(t, q))
	node.Quoted = node.literal() != numeric
	return node
}

func readResources(d *decoder, path string, n Node, into *resource.Vector) {
	if !d.expect(n, path, Map) {
		return
	}
	lines := make(map[string]int)
	for _, e := range n.Entries {
		if !d.checkKey(path, e.Key, lines) {
			continue
		}
		t := resource.Type(e.Key.Value)
		if err := checkType(t); err != nil {
			d.report(e.Key, joined(path, e.Key.Value), "%v", err)
			continue
		}
		q, err := quantity(t, e.Value)
		if err != nil {
			d.report(e.Value, joined(path, e.Key.Value), "found %s; want %v", e.Value.described(), err)
			continue
		}
		d.places[joined(path, e.Key.Value)] = e.Value
		if !q.IsZero() { // nothing of a type is the same as not to ask for it
			*into = into.With(t, q)
		}
	}
}

// checkType returns why a task cannot ask for the type here.
func checkType(t resource.Type) error {
	if t == resource.Ports {
		return errors.New("ports have names; list them under ports at the top, as in ports: [http]")
	}
	for _, m := range measures() {
		if m.kind == t {
			return nil
		}
	}
	if id.Check(t) != nil {
		return errors.New("want a resource type: lower-case letters, digits and inner hyphens")
	}
	// Names that are surely not meant as custom types.
	slips := map[resource.Type]resource.Type{
		"cpu": resource.CPUs, "core": resource.CPUs, "cores": resource.CPUs,
		"memory": resource.Mem, "ram": resource.Mem,
		"disks": resource.Disk, "storage": resource.Disk,
		"gpu": resource.GPUs, "port": resource.Ports,
	}
	if meant, slip := slips[t]; slip {
		return fmt.Errorf("unknown resource type; did you mean %q?", string(meant))
	}
	return nil
}

// quantity returns the amount that n stands for; the error says what would be
// right.
func quantity(t resource.Type, n Node) (resource.Quantity, error) {
	want := `an amount such as 3, 0.5, 500m, "20-29" or "{a,b}"`
	for _, m := range measures() {
		if m.kind == t {
			want = "an amount such as " + m.example
		}
	}
	if n.Kind != Scalar || n.literal() == flagged {
		return resource.Quantity{}, errors.New(want)
	}
	q, err := resource.Parse(t, n.Value)
	if parseErr, ok := errors.AsType[*resource.ParseError](err); ok {
		return resource.Quantity{}, fmt.Errorf("%s: %s", want, parseErr.Reason)
	}
	if q.IsZero() && (t == resource.CPUs || t == resource.Mem) {
		return resource.Quantity{}, fmt.Errorf("%s: a program cannot run with none", want)
	}
	return q, nil
}
