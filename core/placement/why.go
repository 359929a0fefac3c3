package placement

import (
	"strconv"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// Grounds are what spoke for an agent. They are good until the agent is set or
// removed.
type Grounds struct {
	agent    ledger.AgentView
	only     bool // the agent is asked for
	avoided  bool
	weight   int64 // thousandths
	levels   []string
	near     nearby
	siblings int // everywhere
	dominant resource.Type
	leftover int64
	pool     id.Pool
	pools    int // that the request names
}

// nearby is how many siblings there are on each level, without a list of its own for
// the usual few.
type nearby struct {
	few  [4]int32
	many []int32
}

func (n *nearby) set(level, siblings int) {
	if level < len(n.few) {
		n.few[level] = int32(siblings)
		return
	}
	n.many = append(n.many, int32(siblings))
}

func (n *nearby) on(level int) int {
	if level < len(n.few) {
		return int(n.few[level])
	}
	return int(n.many[level-len(n.few)])
}

// String says it in words, for people.
func (g Grounds) String() string {
	text := append(make([]byte, 0, 128), "agent "...)
	text = append(text, g.agent.ID()...)
	if g.only {
		text = append(text, " is asked for"...)
	} else {
		text = append(text, " fits best"...)
	}
	if g.avoided {
		text = append(text, ", though it is to be avoided"...)
	}
	if g.weight != ledger.WeightOne && g.weight > 0 {
		text = append(text, ", mean weight "...)
		text = strconv.AppendFloat(text, float64(g.weight)/ledger.WeightOne, 'f', -1, 64)
	}
	for i, name := range g.levels {
		if g.siblings > 0 {
			text = g.appendCrowd(text, name, g.near.on(i))
		}
	}
	if g.dominant != "" {
		text = append(append(append(text, ", leaves "...), g.dominant...), ' ')
		text = append(text, resource.FormatAmount(g.dominant, resource.KindScalar, g.leftover)...)
	}
	if g.pools > 1 {
		text = append(append(append(text, ", from pool "...), g.pool...), ", the highest with room"...)
	}
	return string(text)
}

// appendCrowd says how many siblings are near, where that says something.
func (g *Grounds) appendCrowd(text []byte, name string, near int) []byte {
	value, known := attribute(g.agent, name)
	if name == HostAttribute && value == string(g.agent.ID()) {
		return text // the host is the agent
	}
	text = strconv.AppendInt(append(text, ", "...), int64(near), 10)
	text = strconv.AppendInt(append(text, " of "...), int64(g.siblings), 10)
	text = append(text, " instances "...)
	switch {
	case name == AgentAttribute:
		return append(text, "on the agent"...)
	case name == HostAttribute:
		return append(append(text, "on host "...), value...)
	case !known:
		return append(append(text, "without "...), name...)
	default:
		return append(append(append(append(text, "in "...), name...), ' '), value...)
	}
}
