package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// account is the books of one agent.
type account struct {
	id         id.Agent
	slot       int32
	closed     bool
	shares     []share     // by type, heavier first, then by id
	rows       *rows       // of the shares; other agents may have the same
	all        *claims     // of the books
	claims     []uint32    // cells, in no order
	attributes []attribute // which other agents may share
}

// plotMax is how many partitions an account has room for by itself, and fewMax how many
// claims.
const (
	plotMax = 4
	fewMax  = 12
)

// plot is the account of an agent with few partitions in one piece of memory, of which
// a claim looks at the first part only.
type plot struct {
	account
	few    [fewMax]uint32
	shares [plotMax]share
}

// newAccount returns an account with room for partitions, and for the claims of one
// before, if there was one.
func newAccount(partitions int, cells []uint32) *account {
	if partitions > plotMax {
		return &account{claims: cells}
	}
	p := new(plot)
	p.account.shares = p.shares[:0]
	if p.claims = cells; len(cells) <= fewMax {
		p.claims = append(p.few[:0], cells...)
	}
	return &p.account
}

// rows are what an agent's shares come to, by type. All agents of which that is equal may
// have the same.
type rows []row

// row is the shares of one type on one agent.
type row struct {
	of         resource.Type
	kind       resource.Kind
	weight     int64 // of its shares, 0 if they have several
	first, end int32 // its shares
}

func (a *account) row(t resource.Type) (*row, bool) {
	rows := *a.rows
	for i := range rows {
		if rows[i].of == t {
			return &rows[i], true
		}
	}
	return nil, false
}

// balance returns the account of one type.
func (a *account) balance(r *row) Balance {
	var sum Balance
	for i := r.first; i < r.end; i++ {
		sum.add(a.shares[i].balance(a.closed))
	}
	return sum
}

// available returns what new claims may take of one type.
func (a *account) available(r *row) int64 {
	if a.closed {
		return 0
	}
	var sum int64
	for i := r.first; i < r.end; i++ {
		sum += max(0, a.shares[i].free.Amount())
	}
	return sum
}

func (a *account) share(name id.Partition) (*share, bool) {
	for i := range a.shares {
		if a.shares[i].ID == name {
			return &a.shares[i], true
		}
	}
	return nil, false
}

// drop forgets a claim.
func (a *account) drop(cell uint32) {
	at, last := slices.Index(a.claims, cell), len(a.claims)-1
	a.claims[at] = a.claims[last]
	a.claims = a.claims[:last]
}

// rule draws the rows for the shares.
func (l *Ledger) rule(a *account) {
	rows := l.alike.drawn[:0]
	for i := range a.shares {
		s := &a.shares[i]
		if last := len(rows) - 1; last < 0 || rows[last].of != s.Type {
			rows = append(rows, row{of: s.Type, kind: s.kind(), weight: s.Weight, first: int32(i)})
		}
		r := &rows[len(rows)-1]
		r.end = int32(i + 1)
		if s.Weight != r.weight {
			r.weight = 0
		}
		if !s.empty() {
			r.kind = s.kind()
		}
	}
	l.alike.drawn = rows
	a.rows = l.alike.sameRows(rows)
}

// replaced appends the shares for the partitions that an agent now has, with
// what is claimed carried over.
func (a *account) replaced(shares []share, parts []*part) ([]share, error) {
	for _, p := range parts {
		s := share{part: p}
		if old, ok := a.share(p.ID); ok {
			if !old.claimed.IsZero() && (old.Type != p.Type || !p.Quantity.IsZero() && old.claimed.Kind() != p.Quantity.Kind()) {
				return nil, fmt.Errorf("partition %s: %w: what is claimed of it is %s", p.ID, ErrInUse, old.Type)
			}
			s.claimed, s.cursor = old.claimed, old.cursor
		}
		s.book(s.claimed)
		shares = append(shares, s)
	}
	for _, old := range a.shares {
		kept := func(p *part) bool { return p.ID == old.ID }
		if !old.claimed.IsZero() && !slices.ContainsFunc(parts, kept) {
			gone := old.Partition
			gone.Quantity = resource.Quantity{}
			old.part, old.retired = newPart(gone), true
			old.book(old.claimed)
			shares = append(shares, old)
		}
	}
	slices.SortFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.ID, b.ID))
	})
	return shares, checkApart(shares)
}

// checkApart returns an error if two partitions of one type have a number or
// member in common, or are of different kinds.
func checkApart(shares []share) error {
	for i := range shares {
		for j := range i {
			a, b := &shares[j], &shares[i]
			if a.Type != b.Type {
				continue
			}
			if a.kind() != b.kind() && !a.empty() && !b.empty() {
				return fmt.Errorf("%w: partition %s of %s is %s, partition %s is %s", ErrInvalid, a.ID, a.Type, a.kind(), b.ID, b.kind())
			}
			if a.Quantity.Meets(b.Quantity) {
				return fmt.Errorf("%w: partitions %s and %s have %s in common", ErrInvalid, a.ID, b.ID, a.Type)
			}
			if a.claimed.Meets(b.Quantity) || a.Quantity.Meets(b.claimed) {
				return fmt.Errorf("%w: %s that are claimed of one of partitions %s and %s are now in the other", ErrInUse, a.Type, a.ID, b.ID)
			}
		}
	}
	return nil
}
