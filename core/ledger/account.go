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
	attributes map[string]string
	closed     bool
	shares     []share  // by type, heavier first, then by id
	rows       []row    // by type
	all        *claims  // of the books
	claims     []uint32 // cells, in no order
}

// plotMax is how many partitions an account has room for by itself.
const plotMax = 4

// plot is the account of an agent with few partitions in one piece of memory.
type plot struct {
	account
	shares [plotMax]share
	rows   [plotMax]row
}

func newAccount(partitions int) *account {
	if partitions > plotMax {
		return new(account)
	}
	p := new(plot)
	p.account.shares, p.account.rows = p.shares[:0], p.rows[:0]
	return &p.account
}

// row is the account of one type on one agent.
type row struct {
	Balance
	kind       resource.Kind
	of         resource.Type
	weight     int64 // of its shares, 0 if they have several
	first, end int32 // its shares
}

func (a *account) row(t resource.Type) (*row, bool) {
	for i := range a.rows {
		if a.rows[i].of == t {
			return &a.rows[i], true
		}
	}
	return nil, false
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
func (a *account) rule() {
	a.rows = a.rows[:0]
	for i := range a.shares {
		s := &a.shares[i]
		if last := len(a.rows) - 1; last < 0 || a.rows[last].of != s.Type {
			a.rows = append(a.rows, row{of: s.Type, kind: s.kind(), weight: s.Weight, first: int32(i)})
		}
		r := &a.rows[len(a.rows)-1]
		s.row = len(a.rows) - 1
		r.end, r.Balance = int32(i+1), r.plus(s.balance(a.closed))
		if s.Weight != r.weight {
			r.weight = 0
		}
		if !s.empty() {
			r.kind = s.kind()
		}
	}
}

// replaced appends the shares for the partitions that an agent now has, with
// what is claimed carried over.
func (a *account) replaced(shares []share, partitions []Partition) ([]share, error) {
	for _, p := range partitions {
		s := share{Partition: p}
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
		kept := func(p Partition) bool { return p.ID == old.ID }
		if !old.claimed.IsZero() && !slices.ContainsFunc(partitions, kept) {
			old.Quantity, old.retired = resource.Quantity{}, true
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
