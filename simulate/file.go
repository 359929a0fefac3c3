package simulate

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"

	"github.com/aloft-run/aloft/agent/machine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// fileBytesMax bounds a file of machines.
const fileBytesMax = 16 << 20

// file is machines and pools as a file writes them:
//
//	agents:
//	  - count: 40          # agents big-1 to big-40
//	    id: big
//	    attributes: {zone: a}
//	    partitions:
//	      - {id: fast, type: cpus, quantity: 8, weight: 2}
//	      - {id: mem, type: mem, quantity: 64GiB}
//	pools:
//	  - {id: batch, priority: 10, quantity: {cpus: 100}}
//
// An agent is written as in its own configuration file.
type file struct {
	Agents []fileAgents `yaml:"agents"`
	Pools  []filePool   `yaml:"pools"`
}

type fileAgents struct {
	Count        int `yaml:"count"` // default 1
	machine.File `yaml:",inline"`
}

type filePool struct {
	ID       string            `yaml:"id"`
	Priority int               `yaml:"priority"`
	Quantity map[string]string `yaml:"quantity"`
}

// ParseFile reads machines and pools. The error names the line of what is unknown
// or of a wrong type, and else tells all that is wrong.
func ParseFile(text []byte) ([]Shape, []PoolChange, error) {
	if len(text) > fileBytesMax {
		return nil, nil, fmt.Errorf("%d bytes are more than %d", len(text), fileBytesMax)
	}
	var read file
	if err := yaml.UnmarshalWithOptions(text, &read, yaml.Strict()); err != nil {
		return nil, nil, err
	}
	var shapes []Shape
	var pools []PoolChange
	var problems []error
	for i, a := range read.Agents {
		shape, err := a.shape()
		if err != nil {
			problems = append(problems, fmt.Errorf("agents[%d]: %w", i, err))
		}
		shapes = append(shapes, shape)
	}
	for i, p := range read.Pools {
		pool, err := p.change()
		if err != nil {
			problems = append(problems, fmt.Errorf("pools[%d]: %w", i, err))
		}
		pools = append(pools, pool)
	}
	if len(read.Agents) == 0 {
		problems = append(problems, errors.New("agents: found none; want a list of agents, each with its partitions"))
	}
	return shapes, pools, errors.Join(problems...)
}

func (a fileAgents) shape() (Shape, error) {
	if a.Count < 0 || a.Count > machinesMax {
		return Shape{}, fmt.Errorf("count: found %d; want 1 to %d", a.Count, machinesMax)
	}
	partitions, err := a.Apply(nil)
	if err != nil {
		return Shape{}, err
	}
	if len(partitions) == 0 {
		return Shape{}, errors.New("partitions: found none; want a list such as [{id: cpus, type: cpus, quantity: 16}]")
	}
	return Shape{Count: max(1, a.Count), Name: a.ID, Attributes: a.Attributes, Partitions: partitions}.whole(), nil
}

func (p filePool) change() (PoolChange, error) {
	change := PoolChange{ID: id.Pool(p.ID), Priority: &p.Priority, Quantity: make(map[resource.Type]resource.Quantity)}
	if err := id.Check(change.ID); err != nil {
		return PoolChange{}, fmt.Errorf("id: %w", err)
	}
	for name, text := range p.Quantity {
		if err := id.Check(resource.Type(name)); err != nil {
			return PoolChange{}, fmt.Errorf("quantity: %w", err)
		}
		q, err := resource.Parse(resource.Type(name), text)
		if err != nil {
			return PoolChange{}, fmt.Errorf("quantity: %w", err)
		}
		change.Quantity[resource.Type(name)] = q
	}
	return change, nil
}

// names returns what the agents of a shape are called.
func (s Shape) names(taken map[id.Agent]bool, fallback string) []id.Agent {
	base := s.Name
	if base == "" {
		base = fallback
	}
	var names []id.Agent
	if s.Count == 1 && s.Name != "" && !taken[id.Agent(base)] {
		names = append(names, id.Agent(base))
	}
	for n := 1; len(names) < s.Count; n++ {
		if name := id.Agent(base + "-" + strconv.Itoa(n)); !taken[name] {
			names = append(names, name)
		}
	}
	for _, name := range names {
		taken[name] = true
	}
	return names
}
