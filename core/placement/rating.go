package placement

import "math"

// rating is what decides between agents that fit. It stands apart because a contest
// looks at those of many.
type rating struct {
	merit int64  // the weight, from the heaviest on, in its upper half; added to it, the siblings on the agent
	left  int64  // of the dominant resource
	rank  uint64 // by name
	ward  *ward  // nil: no agent has the slot
}

// own returns how many siblings are on the agent.
func (r *rating) own() int32 { return int32(r.merit) }

// add counts more siblings, or fewer.
func (r *rating) add(siblings int32) { r.merit += int64(siblings) }

// weight returns the weight, in thousandths.
func (r *rating) weight() int64 { return math.MaxInt32 - (r.merit-int64(r.own()))>>32 }

func (r *rating) setWeight(weight int64) {
	r.merit = (math.MaxInt32-weight)<<32 + int64(r.own())
}

// key returns numbers by which agents of one ward, each of them a host of its own, are
// ordered: by the first, then by the second, then by the third. None is below zero where
// an agent fits.
func (r *rating) key() (first, second, third uint64) {
	return uint64(r.merit), uint64(r.left), r.rank
}
