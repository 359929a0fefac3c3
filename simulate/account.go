package simulate

import (
	"maps"
	"slices"
	"time"
)

// account is what a pool or user has had.
type account struct {
	standing

	name    string
	weight  float64
	used    []int64
	waits   []time.Duration
	share   gauge // dominant share: the largest part of any resource type that it holds
	backlog time.Duration
}

// pay books what a task takes.
func (a *account) pay(amounts []int64, sign int64) {
	if a.used == nil {
		a.used = make([]int64, len(amounts))
	}
	for i, n := range amounts {
		a.used[i] += sign * n
	}
}

// dominant returns the dominant share of now.
func (a *account) dominant(capacity []int64) float64 {
	share := 0.0
	for i, n := range a.used {
		share = max(share, part(n, capacity[i]))
	}
	return share
}

// accounts are those of all pools, or of all users.
type accounts struct {
	byName    map[string]*account
	order     []*account    // by name
	index     float64       // Jain's, times the seconds for which it was so
	contested time.Duration // for so long two or more waited
}

func newAccounts() accounts { return accounts{byName: make(map[string]*account)} }

// of returns the account of that name.
func (a *accounts) of(name string) *account {
	if found := a.byName[name]; found != nil {
		return found
	}
	made := &account{name: name, weight: 1}
	a.byName[name] = made
	a.order = a.order[:0]
	for _, name := range slices.Sorted(maps.Keys(a.byName)) {
		a.order = append(a.order, a.byName[name])
	}
	return made
}

// pass has time pass. While two or more wait it is judged how evenly they are
// served; who wants no more than it has does not count.
func (a *accounts) pass(capacity []int64, d time.Duration) {
	n, sum, squares := 0, 0.0, 0.0
	for _, account := range a.order {
		share := account.dominant(capacity)
		account.share.pass(share, d)
		if account.waiting == 0 {
			continue
		}
		account.backlog += d
		if account.name != "" {
			part := share / account.weight
			n, sum, squares = n+1, sum+part, squares+part*part
		}
	}
	if n < 2 {
		return
	}
	index := 1.0 // nobody has anything: that is even
	if squares > 0 {
		index = sum * sum / (float64(n) * squares)
	}
	a.index += index * d.Seconds()
	a.contested += d
}

// jain returns Jain's index of the dominant shares, by weight, of those who waited, over the
// time in which two or more did: 1 when all had the same, 1/n when one had all. It
// is false if there was no such time.
func (a *accounts) jain() (float64, bool) {
	if a.contested == 0 {
		return 0, false
	}
	return a.index / a.contested.Seconds(), true
}
