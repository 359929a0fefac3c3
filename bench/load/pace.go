package load

import "time"

// behindMax is how much of its schedule a load makes up for at once.
const behindMax = 100 * time.Millisecond

// Pace spaces requests evenly. A machine that had no time for the load itself
// gets no burst for it afterwards: what was missed beyond behindMax is left out.
// It is used by one goroutine.
type Pace struct {
	interval time.Duration
	leftOut  time.Duration
}

// NewPace returns the pace of so many requests per second.
func NewPace(perSecond int) *Pace { return &Pace{interval: time.Second / time.Duration(perSecond)} }

// Pace returns how long to wait before the next request, after so many hits.
func (p *Pace) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	due := p.leftOut + time.Duration(hits)*p.interval
	behind := elapsed - due
	if behind > behindMax {
		p.leftOut += behind
	}
	return max(0, -behind), false
}

// Rate returns the requests per second.
func (p *Pace) Rate(time.Duration) float64 { return float64(time.Second) / float64(p.interval) }
