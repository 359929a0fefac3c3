package store

import (
	"strings"
	"sync"
	"time"
)

// What etcd warns of while it tries again is told when it has gone on for so long: it is
// trouble then, and no start of a member or busy moment of the machine. It has ended
// when nothing was heard of it for a while, and is not told more often than people read.
const (
	troubleAfter = 10 * time.Second
	troubleEnds  = time.Minute
	troubleAgain = 10 * time.Minute
)

// troubles are what etcd warns of, by the message.
type troubles struct {
	mu sync.Mutex // guards by
	by map[string]trouble
}

// trouble is one that goes on.
type trouble struct{ since, last, told time.Time }

// lasts takes note of a warning, and reports whether it is to be told.
func (t *troubles) lasts(message string, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, known := t.by[message]
	if !known || at.Sub(now.last) > troubleEnds {
		now = trouble{since: at}
	}
	now.last = at
	tell := at.Sub(now.since) >= troubleAfter && (now.told.IsZero() || at.Sub(now.told) >= troubleAgain)
	if tell {
		now.told = at
	}
	t.by[message] = now
	return tell
}

// passing says that a line is about what etcd tries again, or about another member that
// comes or goes: each member writes a dozen of them when one is started.
func passing(message string) bool {
	if _, said, _ := strings.Cut(message, " "); said == "stepped down to follower since quorum is not active" || // a member's number comes first
		strings.HasPrefix(said, "cannot campaign at term ") { // it has not yet applied what it read at its start
		return true
	}
	switch message {
	case "lost TCP streaming connection with remote peer",
		"closed TCP streaming connection with remote peer",
		"established TCP streaming connection with remote peer",
		"peer became inactive (message send to peer failed)",
		"failed to find remote peer in cluster",
		"failed to reach the peer URL",
		"failed to get version",
		"prober detected unhealthy status",
		"dropped internal Raft message since sending buffer is full",
		"dropped Raft message since sending buffer is full (overloaded network)",
		"leadership transfer failed",
		"failed to publish local member to cluster through raft",
		"ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader",
		"waiting for ReadIndex response took too long, retrying",
		"timed out waiting for read index response (local node might have slow network)",
		"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk",
		"apply request took too long",
		"slow fdatasync":
		return true
	default:
		return false
	}
}
