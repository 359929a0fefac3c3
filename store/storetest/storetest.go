// Package storetest holds the tests that every backend of package store passes,
// so that what is tested on the memory of a simulation holds on etcd.
//
// A backend's own tests call Run with a way to make a fresh state.
package storetest

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
)

// patience bounds what a test waits for. Only a test that fails takes so long.
const patience = 30 * time.Second

// State is a fresh state and the ways to reach it.
type State struct {
	// Open returns a store on the state, as another process would have it. The
	// test closes it.
	Open func(t *testing.T) *store.Store
	// Depose ends the term of now behind its leader's back.
	Depose func(t *testing.T)
}

// trial is one test, on a state of its own.
type trial struct {
	*testing.T
	State
}

// Run tests a backend. Start makes a fresh state whose transactions have limits,
// or the backend's own where a limit is zero, and which is gone after t.
func Run(t *testing.T, start func(t *testing.T, limits store.Limits) State) {
	t.Helper()
	small := store.Limits{Ops: 4, Bytes: 1 << 10}
	tests := map[string]struct {
		limits store.Limits
		run    func(t trial)
	}{
		"one leads and the next waits for it to resign":        {run: handsOver},
		"a candidate may let another one lead first":           {run: letsOthersFirst},
		"a candidate behind nobody leads":                      {run: leadsBehindNobody},
		"a campaign ends with its context":                     {run: campaignEnds},
		"an identity is needed":                                {run: needsIdentity},
		"the leader is seen by all, change by change":          {run: leaderIsSeen},
		"a deposed term is lost and writes nothing":            {run: deposedWritesNothing},
		"a resigned term writes nothing":                       {run: resignedWritesNothing},
		"an evicted term is lost and writes nothing":           {run: evictedWritesNothing},
		"a term that is over is not evicted again":             {run: evictsOnlyThat},
		"who announces itself is seen until it goes":           {run: announcesUntilDone},
		"a name is of whoever announced it last":               {run: nameIsOfTheLast},
		"who is closed is seen until its lease runs out":       {run: closedIsForgotten},
		"a bad announcement is refused":                        {run: refusesAnnouncement, limits: small},
		"closing ends what waits":                              {run: closingEnds},
		"what is put is loaded, in order and by prefix":        {run: loadsInOrder},
		"the history leads here":                               {run: historyLeadsHere},
		"a load sees one revision":                             {run: loadSeesOneRevision},
		"what is loaded is the caller's":                       {run: loadedIsOurs},
		"a load stops at the error of its visitor":             {run: loadStops},
		"a scan sees one revision":                             {run: scanSeesOneRevision},
		"a scan stops at the error of its visitor":             {run: scanStops},
		"an empty group asks and writes nothing":               {run: emptyGroup},
		"the last operation of a key counts":                   {run: lastCounts},
		"a value of 1 MiB comes back as it was":                {run: largeValue},
		"an operation without a key is refused":                {run: needsKey},
		"a commit whose context is done writes nothing":        {run: doneContext},
		"20,000 operations are one group":                      {run: manyOperations},
		"a large group is split in order":                      {run: splitsInOrder, limits: small},
		"an operation above the limit is refused":              {run: refusesTooLarge, limits: small},
		"any groups leave what a map would hold":               {run: agreesWithMap, limits: small},
		"a new leader finds all that the one before committed": {run: findsAll},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.run(trial{t, start(t, tc.limits)})
		})
	}
}
