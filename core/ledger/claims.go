package ledger

import (
	"math/bits"
	"slices"

	"github.com/aloft-run/aloft/core/id"
)

// blockSize is how many claims stand in one piece of memory.
const blockSize = 64

// claims is what all tasks hold: each claim in a cell, which stays where it is, and is
// found by a table of the tasks' hashes. A cell that was given back is the next to be
// used. It takes less memory than a map of claims, and less time.
type claims struct {
	blocks [][]held
	used   int       // cells, with those given back
	unused []uint32  // cells that were given back
	table  []mark    // of a power of two, at most three quarters full; a task's mark is at its hash or behind
	pools  []id.Pool // by number; that of number 0 has no name and is none
	count  int
}

// held is a claim in its cell.
type held struct {
	task   id.Task
	slices []Slice
	slot   int32 // of the agent
	pool   int32 // its number
}

// claim returns what is in a cell of an agent, whose name is given.
func (c *claims) claim(h *held, agent id.Agent) Claim {
	claim := Claim{Task: h.task, Agent: agent, Slices: h.slices}
	if h.pool != 0 {
		claim.Pool = c.pools[h.pool]
	}
	return claim
}

// number returns the number of a pool, the same whenever it is asked for.
func (c *claims) number(pool id.Pool) int32 {
	if len(c.pools) == 0 {
		c.pools = append(c.pools, "")
	}
	at := slices.Index(c.pools, pool)
	if at < 0 {
		at = len(c.pools)
		c.pools = append(c.pools, pool)
	}
	return int32(at)
}

// mark is a hash, and a cell's number and one. It is zero where there is none.
type mark uint64

func (m mark) hash() uint32 { return uint32(m >> 32) }

func (m mark) cell() uint32 { return uint32(m) - 1 }

// hash returns a number that is as good as any for a task.
func hash(task id.Task) uint32 {
	const prime, odd = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	sum := uint64(len(task)) ^ odd
	for ; len(task) >= 8; task = task[8:] {
		word := uint64(task[0]) | uint64(task[1])<<8 | uint64(task[2])<<16 | uint64(task[3])<<24 |
			uint64(task[4])<<32 | uint64(task[5])<<40 | uint64(task[6])<<48 | uint64(task[7])<<56
		sum = fold(sum^word, prime)
	}
	var rest uint64
	for i := range len(task) {
		rest = rest<<8 | uint64(task[i])
	}
	return uint32(fold(fold(sum^rest, prime), odd))
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// at returns what is in a cell.
func (c *claims) at(cell uint32) *held { return &c.blocks[cell/blockSize][cell%blockSize] }

// find returns where the mark of a task is. It is false if the task holds nothing:
// then that is where its mark would be.
func (c *claims) find(task id.Task) (at int, of uint32, held bool) {
	of = hash(task)
	if len(c.table) == 0 {
		return 0, of, false
	}
	last := len(c.table) - 1
	for at = int(of) & last; c.table[at] != 0; at = (at + 1) & last {
		if m := c.table[at]; m.hash() == of && c.at(m.cell()).task == task {
			return at, of, true
		}
	}
	return at, of, false
}

// get returns the cell of what a task holds, or nil.
func (c *claims) get(task id.Task) *held {
	at, _, held := c.find(task)
	if !held {
		return nil
	}
	return c.at(c.table[at].cell())
}

// reserve makes room for so many claims, if there are none yet.
func (c *claims) reserve(n int) {
	if c.count > 0 {
		return
	}
	size := 8
	for size < n+n/2 {
		size *= 2
	}
	c.table = make([]mark, size)
}

// add adds the claim of a task that holds nothing, at the place and with the hash that
// find returned, and returns its cell.
func (c *claims) add(claim held, at int, of uint32) uint32 {
	if c.count+1 > len(c.table)/4*3 {
		c.grow()
		at, of, _ = c.find(claim.task)
	}
	cell := uint32(c.used)
	if last := len(c.unused) - 1; last >= 0 {
		cell = c.unused[last]
		c.unused = c.unused[:last]
	} else {
		if c.used%blockSize == 0 {
			c.blocks = append(c.blocks, make([]held, blockSize))
		}
		c.used++
	}
	*c.at(cell) = claim
	c.table[at] = mark(of)<<32 | mark(cell+1)
	c.count++
	return cell
}

// grow makes the table twice as large.
func (c *claims) grow() {
	before := c.table
	c.table = make([]mark, max(8, 2*len(before)))
	for _, m := range before {
		if m != 0 {
			at := int(m.hash()) & (len(c.table) - 1)
			for c.table[at] != 0 {
				at = (at + 1) & (len(c.table) - 1)
			}
			c.table[at] = m
		}
	}
}

// drop takes out the claim whose mark is at a place, and returns it with its cell.
func (c *claims) drop(at int) (held, uint32) {
	cell := c.table[at].cell()
	last := len(c.table) - 1
	hole := at
	for next := (hole + 1) & last; c.table[next] != 0; next = (next + 1) & last {
		// What is behind moves up, unless it would come to stand before its hash.
		if home := int(c.table[next].hash()) & last; (next-home)&last >= (next-hole)&last {
			c.table[hole] = c.table[next]
			hole = next
		}
	}
	c.table[hole] = 0
	c.count--
	claim := *c.at(cell)
	*c.at(cell) = held{}
	c.unused = append(c.unused, cell)
	return claim, cell
}

// clone returns claims that say the same and can be changed without these. What is
// booked of a claim is never changed, but its cell is used again.
func (c *claims) clone() claims {
	copied := *c
	copied.blocks = make([][]held, len(c.blocks))
	for i, block := range c.blocks {
		copied.blocks[i] = slices.Clone(block)
	}
	copied.unused, copied.table, copied.pools = slices.Clone(c.unused), slices.Clone(c.table), slices.Clone(c.pools)
	return copied
}

// tasks iterates over the tasks that hold something, in no order that means anything.
func (c *claims) tasks(yield func(id.Task) bool) {
	for cell := range c.used {
		if task := c.at(uint32(cell)).task; task != "" && !yield(task) {
			return
		}
	}
}
