package upstream

import "time"

const (
	// sweepAgeMin is the age below which an idle connection is not looked at: it
	// is likely to be used again at once and would teach nothing.
	sweepAgeMin = 20 * time.Millisecond
	// trustMax bounds what is learned, for the instance may change its ways.
	trustMax = 5 * time.Second
)

// trust is what was learned about how long an instance keeps an idle connection.
type trust struct {
	alive time.Duration // the longest idle time after which one was still open
	ended time.Duration // the shortest idle time after which one may have been closed
}

func newTrust() trust { return trust{ended: 2 * trustMax} }

// limit returns for how long a connection may have been idle that a request goes
// over which must not be sent twice. It is zero until something was learned.
func (t *trust) limit() time.Duration { return min(t.alive, t.ended, 2*trustMax) / 2 }

func (t *trust) sawAlive(idle time.Duration) { t.alive = max(t.alive, idle) }

// sawClose notes that a connection was closed which was last seen open after
// having been idle for the given time.
func (t *trust) sawClose(idle time.Duration) { t.ended = min(t.ended, idle) }
