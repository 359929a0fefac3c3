// Package ledger records who holds which part of which agent and pool.
//
// The books always balance: on every partition, what is free and what is
// claimed add up to its quantity, and so they do in every pool. A claim is
// booked whole or not at all, is given back exactly once, and no port is held
// twice. Each method keeps these laws, or refuses and changes nothing.
//
// A Ledger is not safe for concurrent use: the master's loop owns it.
package ledger

import (
	"cmp"
	"errors"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Errors that callers tell apart.
var (
	// ErrUnknownAgent is the error for an agent that is not in the books.
	ErrUnknownAgent = errors.New("unknown agent")
	// ErrUnknownPartition is the error for a partition that its agent does not have.
	ErrUnknownPartition = errors.New("unknown partition")
	// ErrUnknownPool is the error for a pool that is not in the books.
	ErrUnknownPool = errors.New("unknown pool")
	// ErrAlreadyHeld is the error for a second claim of one task.
	ErrAlreadyHeld = errors.New("task already holds a claim")
	// ErrClosed is the error for a claim on an agent that takes none.
	ErrClosed = errors.New("agent takes no new claims")
	// ErrPortTaken is the error for a certain port that is not free.
	ErrPortTaken = errors.New("port is not free")
	// ErrInUse is the error for a change to what claims stand on.
	ErrInUse = errors.New("in use")
	// ErrInvalid is the error for an agent, pool or claim that makes no sense.
	ErrInvalid = errors.New("invalid")
)

// Ledger is the account of all agents and pools. The zero value is empty and
// ready.
type Ledger struct {
	agents  []*account // by id
	named   map[id.Agent]*account
	recent  *account // that was asked for last, by name: often it is the next one, too
	slots   slots
	journal journal
	finder  any // see Finder
	pools   []*poolAccount
	claims  claims
	totals  map[resource.Type]*total
	entered entry // of the claim that is being entered
	alike   alike
}

func (l *Ledger) agent(name id.Agent) (*account, bool) {
	if a := l.recent; a != nil && a.id == name {
		return a, true
	}
	a, known := l.named[name]
	if known {
		l.recent = a
	}
	return a, known
}

// at returns where an agent stands, or would stand, among the agents.
func (l *Ledger) at(name id.Agent) int {
	i, _ := slices.BinarySearchFunc(l.agents, name, func(a *account, name id.Agent) int { return cmp.Compare(a.id, name) })
	return i
}

func (l *Ledger) pool(name id.Pool) (*poolAccount, int, bool) {
	i, found := slices.BinarySearchFunc(l.pools, name, func(p *poolAccount, name id.Pool) int { return cmp.Compare(p.ID, name) })
	if !found {
		return nil, i, false
	}
	return l.pools[i], i, true
}
