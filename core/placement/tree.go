package placement

// tree holds agents in the order of what they have left of the dominant resource,
// then of their names. Each node knows the most that there is, of each of several
// amounts, below it. It is balanced by marks that are made of the agents' slots.
type tree struct {
	root    int32
	nodes   []node
	amounts int     // of each agent
	own     []int64 // the amounts of each node
	most    []int64 // of the node and all below it
	spare   []int32
}

type node struct {
	key                 int64 // of the dominant resource
	slot                int32
	left, right, parent int32
}

// none is no node.
const none = -1

// mark is the priority of a node: parents have higher ones.
func (t *tree) mark(n int32) uint32 {
	x := uint32(t.nodes[n].slot) * 2654435761
	x ^= x >> 15
	return x * 2246822519
}

// before reports whether node a comes before b. Ranks order the slots by name.
func (t *tree) before(a, b int32, ranks []uint64) bool {
	x, y := &t.nodes[a], &t.nodes[b]
	if x.key != y.key {
		return x.key < y.key
	}
	return ranks[x.slot] < ranks[y.slot]
}

// add adds an agent, and returns its node.
func (t *tree) add(slot int32, key int64, amounts []int64, ranks []uint64) int32 {
	if len(t.nodes) == 0 {
		t.root, t.amounts = none, len(amounts)
	}
	n := int32(len(t.nodes))
	if last := len(t.spare) - 1; last >= 0 {
		n = t.spare[last]
		t.spare = t.spare[:last]
	} else {
		t.nodes = append(t.nodes, node{})
		t.own, t.most = append(t.own, amounts...), append(t.most, amounts...)
	}
	t.nodes[n] = node{key: key, slot: slot, left: none, right: none, parent: none}
	copy(t.own[int(n)*t.amounts:], amounts)
	t.pull(n)
	left, right := t.split(t.descend(n, ranks), n, ranks)
	t.adopt(n, left, right)
	return n
}

// descend finds where a new node belongs by its mark, puts it there, and returns what
// was there.
func (t *tree) descend(n int32, ranks []uint64) int32 {
	mark, parent, at := t.mark(n), int32(none), t.root
	for at != none && t.mark(at) >= mark {
		for i := range t.amounts { // it will be below
			most := &t.most[int(at)*t.amounts+i]
			*most = max(*most, t.own[int(n)*t.amounts+i])
		}
		if parent = at; t.before(n, at, ranks) {
			at = t.nodes[at].left
		} else {
			at = t.nodes[at].right
		}
	}
	t.nodes[n].parent = parent
	switch {
	case parent == none:
		t.root = n
	case t.before(n, parent, ranks):
		t.nodes[parent].left = n
	default:
		t.nodes[parent].right = n
	}
	return at
}

// split parts a subtree into what comes before a node and what comes after.
func (t *tree) split(at, by int32, ranks []uint64) (left, right int32) {
	if at == none {
		return none, none
	}
	if t.before(at, by, ranks) {
		inner, after := t.split(t.nodes[at].right, by, ranks)
		t.adopt(at, t.nodes[at].left, inner)
		return at, after
	}
	before, inner := t.split(t.nodes[at].left, by, ranks)
	t.adopt(at, inner, t.nodes[at].right)
	return before, at
}

// merge joins two subtrees, of which all of the first comes before the second.
func (t *tree) merge(a, b int32) int32 {
	switch {
	case a == none:
		return b
	case b == none:
		return a
	case t.mark(a) >= t.mark(b):
		t.adopt(a, t.nodes[a].left, t.merge(t.nodes[a].right, b))
		return a
	default:
		t.adopt(b, t.merge(a, t.nodes[b].left), t.nodes[b].right)
		return b
	}
}

// adopt gives a node two subtrees.
func (t *tree) adopt(n, left, right int32) {
	t.nodes[n].left, t.nodes[n].right = left, right
	if left != none {
		t.nodes[left].parent = n
	}
	if right != none {
		t.nodes[right].parent = n
	}
	t.pull(n)
}

// pull finds the most of a node and those below it.
func (t *tree) pull(n int32) {
	d := t.amounts
	most := t.most[int(n)*d : int(n)*d+d]
	copy(most, t.own[int(n)*d:])
	for _, kid := range [2]int32{t.nodes[n].left, t.nodes[n].right} {
		if kid == none {
			continue
		}
		for i, amount := range t.most[int(kid)*d : int(kid)*d+d] {
			most[i] = max(most[i], amount)
		}
	}
}

// drop takes a node out. It asks for no names: the agent may be gone.
func (t *tree) drop(n int32) {
	parent := t.nodes[n].parent
	joined := t.merge(t.nodes[n].left, t.nodes[n].right)
	if joined != none {
		t.nodes[joined].parent = parent
	}
	switch {
	case parent == none:
		t.root = joined
	case t.nodes[parent].left == n:
		t.nodes[parent].left = joined
	default:
		t.nodes[parent].right = joined
	}
	for ; parent != none; parent = t.nodes[parent].parent {
		t.pull(parent)
	}
	t.spare = append(t.spare, n)
}
