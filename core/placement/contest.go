package placement

import (
	"math"
	"math/bits"
)

// nobody is who wins where nobody takes part.
const nobody = -1

// contest finds the best of many slots: a tree of pairs, of which the better one
// goes on. A change of one takes logarithmic time.
type contest struct {
	winners []int32 // of pair i at i, of which 2i and 2i+1 take part; the second half takes part first
}

// size returns how many places there are.
func (c *contest) size() int { return len(c.winners) / 2 }

// winner returns the best, or nobody.
func (c *contest) winner() int32 {
	if len(c.winners) == 0 {
		return nobody
	}
	return c.winners[1]
}

// reserve makes room for n places, of which the pairs are to be held then.
func (c *contest) reserve(n int) {
	if n <= c.size() {
		return
	}
	size := max(1, c.size())
	for size < n {
		size *= 2
	}
	winners := make([]int32, 2*size)
	for i := range winners {
		winners[i] = nobody
	}
	copy(winners[size:], c.winners[c.size():])
	c.winners = winners
}

// enter puts a slot in a place, of which the pairs are to be held then.
func (c *contest) enter(place, slot int32) { c.winners[c.size()+int(place)] = slot }

// hold holds all the pairs anew.
func (c *contest) hold(by *Batch) {
	for i := c.size() - 1; i > 0; i-- {
		c.winners[i] = better(c.winners[2*i], c.winners[2*i+1], by)
	}
}

// set puts a slot, or nobody, in a place. What the slot is judged by may have
// changed. It reports whether the winner is another one, or judged otherwise.
func (c *contest) set(place, slot int32, by *Batch) bool {
	i := c.size() + int(place)
	c.winners[i] = slot
	for i /= 2; i > 0; i /= 2 {
		was, is := c.winners[i], better(c.winners[2*i], c.winners[2*i+1], by)
		if is == was && is != slot {
			return false
		}
		c.winners[i] = is
	}
	return true
}

// climb is set for agents of one ward, each of them a host of its own. It compares
// without a branch, since nobody can tell which way that would go.
func (c *contest) climb(place, slot int32, ratings []rating) bool {
	i := c.size() + int(place)
	c.winners[i] = slot
	best, first, second, third := slot, uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64)
	if slot != nobody {
		first, second, third = ratings[slot].key()
	}
	for i > 1 {
		other := c.winners[i^1]
		i /= 2
		if other != nobody {
			p, q, r := ratings[other].key()
			_, less := bits.Sub64(r, third, 0)
			_, less = bits.Sub64(q, second, less)
			_, less = bits.Sub64(p, first, less)
			take := -less
			best ^= (best ^ other) & int32(take)
			first, second, third = first^(first^p)&take, second^(second^q)&take, third^(third^r)&take
		}
		if c.winners[i] == best && best != slot {
			return false
		}
		c.winners[i] = best
	}
	return true
}

func better(a, b int32, by *Batch) int32 {
	switch {
	case a == nobody:
		return b
	case b == nobody || by.before(a, b):
		return a
	default:
		return b
	}
}
