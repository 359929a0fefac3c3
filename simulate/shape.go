package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/agent/machine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// machinesMax bounds the machines of a cluster.
const machinesMax = 100_000

// Shape is machines of one kind.
type Shape struct {
	Count      int    // 0: as many as the caller says
	Name       string // the agents are called NAME-1 and so on; "": agent-1 and so on
	Attributes map[string]string
	Partitions []ledger.Partition
}

const shapeExample = "want [N:]TYPE=AMOUNT,..., as in 20:cpus=16,mem=64GiB,zone=a"

// ParseShape reads machines from a command line: how many, and what each has, as
// in 20:cpus=16,mem=64GiB,gpus=2. A name that is of no resource type that aloft
// knows is an attribute, as zone=a; resource.NAME=3 is a type of one's own, and
// weight=2 the weight of all its partitions.
func ParseShape(text string) (Shape, error) {
	s := Shape{Attributes: make(map[string]string)}
	rest := text
	if count, after, given := strings.Cut(text, ":"); given {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > machinesMax {
			return Shape{}, fmt.Errorf("found %q machines; want 1 to %d; %s", count, machinesMax, shapeExample)
		}
		s.Count, rest = n, after
	}
	weight := int64(ledger.WeightOne)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, given := strings.Cut(part, "=")
		if !given || name == "" || value == "" {
			return Shape{}, fmt.Errorf("found %q; %s", part, shapeExample)
		}
		of, custom := strings.CutPrefix(name, resourcePrefix)
		_, known := resource.Type(name).Kind()
		switch {
		case name == "weight":
			w, err := parseWeight(value)
			if err != nil {
				return Shape{}, err
			}
			weight = w
		case known || custom:
			q, err := resource.Parse(resource.Type(of), value)
			if err != nil {
				return Shape{}, err
			}
			s.Partitions = append(s.Partitions, ledger.Partition{ID: id.Partition(of), Type: resource.Type(of), Quantity: q})
		default:
			s.Attributes[name] = value
		}
	}
	if len(s.Partitions) == 0 {
		return Shape{}, fmt.Errorf("found no resource in %q; %s", text, shapeExample)
	}
	for i := range s.Partitions {
		s.Partitions[i].Weight = weight
	}
	return s.whole(), nil
}

// parseWeight reads a weight, into thousandths.
func parseWeight(text string) (int64, error) {
	w, err := strconv.ParseFloat(text, 64)
	if err != nil || !(w > 0) || w > ledger.WeightMax/ledger.WeightOne {
		return 0, fmt.Errorf("weight: found %q; want more than 0 and at most %d", text, ledger.WeightMax/ledger.WeightOne)
	}
	return max(1, int64(math.Round(w*ledger.WeightOne))), nil
}

// whole returns the shape with what every agent offers, too, when nothing is said:
// ports.
func (s Shape) whole() Shape {
	for _, p := range s.Partitions {
		if p.Type == resource.Ports {
			return s
		}
	}
	ports, err := resource.Parse(resource.Ports, machine.PortsDefault)
	if err != nil {
		panic(fmt.Sprintf("simulate: the default ports: %v", err))
	}
	s.Partitions = append(s.Partitions, ledger.Partition{ID: "ports", Type: resource.Ports, Quantity: ports, Weight: ledger.WeightOne})
	return s
}

// PoolChange is what of a pool is set; what is not stays as it was.
type PoolChange struct {
	ID       id.Pool
	Priority *int
	Weight   int64 // in thousandths; 0: as it was
	Quantity map[resource.Type]resource.Quantity
}

// ParsePool reads what is set of a pool, as in batch:priority=50,cpus=100.
func ParsePool(text string) (PoolChange, error) {
	const example = "want POOL:priority=N,TYPE=AMOUNT,..., as in batch:priority=50,cpus=100"
	name, rest, given := strings.Cut(text, ":")
	if !given {
		return PoolChange{}, fmt.Errorf("found %q; %s", text, example)
	}
	change := PoolChange{ID: id.Pool(name), Quantity: make(map[resource.Type]resource.Quantity)}
	if err := id.Check(change.ID); err != nil {
		return PoolChange{}, fmt.Errorf("%w; %s", err, example)
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		if key == "priority" {
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return PoolChange{}, fmt.Errorf("priority: found %q; want a whole number", value)
			}
			priority := int(n)
			change.Priority = &priority
			continue
		}
		if key == "weight" {
			w, err := parseWeight(value)
			if err != nil {
				return PoolChange{}, err
			}
			change.Weight = w
			continue
		}
		of := resource.Type(strings.TrimPrefix(key, resourcePrefix))
		if err := id.Check(of); err != nil {
			return PoolChange{}, fmt.Errorf("found %q; %s", part, example)
		}
		q, err := resource.Parse(of, value)
		if err != nil {
			return PoolChange{}, err
		}
		change.Quantity[of] = q
	}
	return change, nil
}

// on returns a pool with the change.
func (c PoolChange) on(pool ledger.Pool) ledger.Pool {
	pool.ID = c.ID
	if c.Priority != nil {
		pool.Priority = *c.Priority
	}
	if c.Weight != 0 {
		pool.Weight = c.Weight
	}
	for of, q := range c.Quantity {
		pool.Quantity = pool.Quantity.With(of, q)
	}
	return pool
}
