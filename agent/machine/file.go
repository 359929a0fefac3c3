package machine

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// fileBytesMax bounds a configuration file.
const fileBytesMax = 1 << 20

// File is an agent's configuration file:
//
//	id: a1
//	address: 10.0.0.5
//	attributes: {zone: a, ssd: "true"}
//	partitions:
//	  - {id: fast, type: cpus, quantity: 8, weight: 2}
//	  - {id: spare, type: cpus, quantity: 24}
type File struct {
	ID         string            `yaml:"id"`
	Address    string            `yaml:"address"`
	Attributes map[string]string `yaml:"attributes"`
	Partitions []Cut             `yaml:"partitions"`
}

// Cut is a partition as a file writes it.
type Cut struct {
	ID       string  `yaml:"id"`
	Type     string  `yaml:"type"`
	Quantity string  `yaml:"quantity"`
	Weight   float64 `yaml:"weight"` // default 1
}

// ParseFile reads a configuration file. The error names the line of what is
// unknown or of a wrong type.
func ParseFile(text []byte) (File, error) {
	if len(text) > fileBytesMax {
		return File{}, fmt.Errorf("%d bytes are more than %d", len(text), fileBytesMax)
	}
	var file File
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return File{}, err
	}
	return file, nil
}

// Apply returns the partitions of the machine with those of the file in place
// of the ones of the same type. All problems are told at once.
func (f File) Apply(found []ledger.Partition) ([]ledger.Partition, error) {
	var problems []error
	var cut []ledger.Partition
	for i, c := range f.Partitions {
		partition, err := c.partition()
		if err != nil {
			problems = append(problems, fmt.Errorf("partitions[%d]: %w", i, err))
			continue
		}
		if slices.ContainsFunc(cut, func(p ledger.Partition) bool { return p.ID == partition.ID }) {
			problems = append(problems, fmt.Errorf("partitions[%d]: id %q is there twice", i, c.ID))
		}
		cut = append(cut, partition)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(found), func(p ledger.Partition) bool {
		return slices.ContainsFunc(cut, func(c ledger.Partition) bool { return c.Type == p.Type })
	})
	return append(kept, cut...), nil
}

func (c Cut) partition() (ledger.Partition, error) {
	if err := id.Check(id.Partition(c.ID)); err != nil {
		return ledger.Partition{}, fmt.Errorf("id: %w", err)
	}
	if err := id.Check(resource.Type(c.Type)); err != nil {
		return ledger.Partition{}, fmt.Errorf("type: %w", err)
	}
	quantity, err := resource.Parse(resource.Type(c.Type), c.Quantity)
	if err != nil {
		return ledger.Partition{}, err
	}
	weight := int64(weightOne)
	if c.Weight != 0 {
		weight = int64(math.Round(c.Weight * weightOne))
	}
	if weight <= 0 || c.Weight > float64(ledger.WeightMax)/weightOne || math.IsNaN(c.Weight) {
		return ledger.Partition{}, fmt.Errorf("weight: found %v; want more than 0 and at most %d", c.Weight, ledger.WeightMax/weightOne)
	}
	return ledger.Partition{
		ID: id.Partition(c.ID), Type: resource.Type(c.Type), Quantity: quantity, Weight: weight,
	}, nil
}
