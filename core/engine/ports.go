package engine

import (
	"cmp"
	"slices"
)

// Ports are the ports of a task, in the order of their names, of which each is there
// once. Most tasks have one at most: a map of it would take more memory than the rest.
type Ports []Port

// Port is a port under a name.
type Port struct {
	Name   string
	Number int
}

// Number returns the port of a name, 0 if there is none.
func (p Ports) Number(name string) int {
	if i, found := p.find(name); found {
		return p[i].Number
	}
	return 0
}

// With returns the ports with that of a name. It may change p.
func (p Ports) With(name string, number int) Ports {
	i, found := p.find(name)
	if found {
		p[i].Number = number
		return p
	}
	return slices.Insert(p, i, Port{name, number})
}

func (p Ports) find(name string) (int, bool) {
	return slices.BinarySearchFunc(p, name, func(port Port, name string) int { return cmp.Compare(port.Name, name) })
}
