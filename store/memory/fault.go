package memory

import (
	"time"

	"github.com/aloft-run/aloft/store"
)

// Kind says which method of the store a call is of.
type Kind string

// The kinds of calls that can meet a fault.
const (
	Campaign    Kind = "campaign"
	WatchLeader Kind = "watch_leader"
	Load        Kind = "load"
	Commit      Kind = "commit"
	Resign      Kind = "resign"
	Evict       Kind = "evict"
	Announce    Kind = "announce"
	Announced   Kind = "announced"
)

// Call is what a member asks of its cluster. Each part of a split group is a
// call of its own.
type Call struct {
	Kind  Kind
	Epoch uint64     // of Commit, Resign and Evict
	Ops   []store.Op // of Commit; not to be kept or changed
}

// Fate is what becomes of a call. The zero Fate is success.
type Fate struct {
	Delay time.Duration // before the cluster gets the call
	Err   error         // the call fails with it; a commit is then in doubt
	Done  bool          // with Err: the cluster did the work, only the answer is lost
	Late  time.Duration // of a commit, with Err: the cluster gets it so much later, when nobody waits for it any more
}
