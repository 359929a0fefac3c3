package ledger

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// How much is remembered of what agents may have in common: names and lists of
// attributes, partitions of one name, and lists of rows.
const (
	alikeMax = 1000
	partsMax = 8
	rowsMax  = 8
)

// alike is what agents have in common. They share the memory of it, so that who looks
// at many agents looks at few places of memory. Nothing of it is ever changed, and what is
// forgotten stays with those who have it.
type alike struct {
	names      map[string]string
	parts      map[id.Partition][]*part
	attributes map[string][]attribute
	rows       []*rows
	drawn      rows
	key        []byte
}

// attribute is one attribute of an agent.
type attribute struct {
	name, value string
}

func (c *alike) sameName(name string) string {
	if known, there := c.names[name]; there {
		return known
	}
	if c.names == nil {
		c.names = make(map[string]string)
	}
	if len(c.names) < alikeMax {
		c.names[name] = name
	}
	return name
}

// sameParts returns the partitions in memory that other agents may share.
func (c *alike) sameParts(partitions []Partition) []*part {
	same := make([]*part, len(partitions))
	for i := range partitions {
		same[i] = c.samePart(&partitions[i])
	}
	return same
}

func (c *alike) samePart(p *Partition) *part {
	known := c.parts[p.ID]
	for _, other := range known {
		if other.Type == p.Type && other.Weight == p.Weight && other.Quantity.Kind() == p.Quantity.Kind() && other.Quantity.Equal(p.Quantity) {
			return other
		}
	}
	made := newPart(*p)
	made.ID, made.Type = id.Partition(c.sameName(string(p.ID))), resource.Type(c.sameName(string(p.Type)))
	if c.parts == nil {
		c.parts = make(map[id.Partition][]*part)
	}
	if len(known) < partsMax && (len(known) > 0 || len(c.parts) < alikeMax) {
		c.parts[made.ID] = append(known, made)
	}
	return made
}

// sameAttributes returns the attributes by name.
func (c *alike) sameAttributes(attributes map[string]string) []attribute {
	if len(attributes) == 0 {
		return nil
	}
	c.key = c.key[:0]
	names := slices.Sorted(maps.Keys(attributes))
	for _, name := range names {
		for _, text := range [2]string{name, attributes[name]} {
			c.key = append(append(strconv.AppendInt(c.key, int64(len(text)), 10), ':'), text...)
		}
	}
	if known, there := c.attributes[string(c.key)]; there {
		return known
	}
	list := make([]attribute, len(names))
	for i, name := range names {
		list[i] = attribute{c.sameName(name), attributes[name]}
	}
	if len(c.attributes) >= alikeMax {
		clear(c.attributes)
	}
	if c.attributes == nil {
		c.attributes = make(map[string][]attribute)
	}
	c.attributes[string(c.key)] = list
	return list
}

// sameRows returns rows like those that were drawn.
func (c *alike) sameRows(drawn rows) *rows {
	for _, known := range c.rows {
		if slices.Equal(*known, drawn) {
			return known
		}
	}
	made := new(rows)
	*made = slices.Clone(drawn)
	if len(c.rows) >= rowsMax {
		c.rows = c.rows[1:]
	}
	c.rows = append(c.rows, made)
	return made
}
