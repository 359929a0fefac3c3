package memory

import "time"

// lease is what a member has something by for as long as the cluster hears of
// it. All fields are guarded by the cluster's mu.
type lease struct {
	owner  *link
	end    func()        // takes what the member has by it; called with mu held
	ended  bool          // the cluster took it
	over   bool          // the owner knows that
	lost   chan struct{} // closed when over
	expiry *time.Timer   // nil while the lease is kept alive
}

// grant returns a lease of owner, which keeps it alive unless it was cut off
// while its call was under way. The caller holds c.mu.
func (c *Cluster) grant(owner *link, end func()) *lease {
	granted := &lease{owner: owner, end: end, lost: make(chan struct{})}
	owner.leases = append(owner.leases, granted)
	if owner.healed != nil {
		c.abandon(granted)
	}
	return granted
}

// abandon lets a lease run out, from now on. The caller holds c.mu.
func (c *Cluster) abandon(l *lease) {
	if l.expiry != nil {
		return
	}
	l.expiry = time.AfterFunc(c.cfg.LeaseTTL, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case l.expiry == nil: // it was sustained meanwhile
		case l.owner.halted:
			l.terminate()
		default:
			l.revoke()
		}
	})
}

// sustain undoes abandon, unless the lease has ended meanwhile. The caller holds
// the cluster's mu.
func (l *lease) sustain() {
	switch {
	case l.over: // nobody keeps it alive any more
	case l.ended:
		l.revoke()
	case l.expiry != nil:
		l.expiry.Stop()
		l.expiry = nil
	}
}

// revoke ends a lease for all, if it has not ended. The caller holds the cluster's
// mu.
func (l *lease) revoke() {
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.lose()
	l.terminate()
	l.owner.forget(l)
}

// terminate ends a lease for all but its owner. The caller holds c.mu.
func (l *lease) terminate() {
	if !l.ended {
		l.ended = true
		l.end()
	}
}

// lose tells the owner that the lease is over. The caller holds the cluster's mu.
func (l *lease) lose() {
	if !l.over {
		l.over = true
		close(l.lost)
	}
}
