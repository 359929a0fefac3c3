package memory

import (
	"context"
	"errors"
	"time"

	"github.com/aloft-run/aloft/store"
)

// announceAgainAfter is how long a member waits after a fault before it announces
// again what it has to.
const announceAgainAfter = 200 * time.Millisecond

// presence is what a member announced under a name.
type presence struct {
	*lease

	value string
}

// announce puts value under name for as long as the lease that it returns.
func (c *Cluster) announce(owner *link, name, value string) *lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	var granted *lease
	granted = c.grant(owner, func() {
		if c.present[name].lease == granted {
			delete(c.present, name)
		}
	})
	c.present[name] = presence{granted, value}
	return granted
}

// announced returns the values by name.
func (c *Cluster) announced() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	values := make(map[string]string, len(c.present))
	for name, p := range c.present {
		values[name] = p.value
	}
	return values
}

// Announce announces again whenever the lease was lost.
func (l *link) Announce(ctx context.Context, name, value string) error {
	for ctx.Err() == nil {
		var granted *lease
		err := l.pass(ctx, Call{Kind: Announce}, func() { granted = l.cluster.announce(l, name, value) })
		if err != nil {
			l.lapse(granted)
			_ = wait(ctx, announceAgainAfter)
			continue
		}
		select {
		case <-granted.lost:
		case <-ctx.Done():
			l.withdraw(ctx, granted)
		}
	}
	return context.Cause(ctx)
}

// withdraw takes back what was announced, where the cluster can be reached and
// the store is not closing.
func (l *link) withdraw(ctx context.Context, announced *lease) {
	if errors.Is(context.Cause(ctx), store.ErrClosed) {
		l.lapse(announced)
		return
	}
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	if l.healed != nil {
		announced.lose()
		l.cluster.abandon(announced)
		return
	}
	announced.revoke()
}

// Announced asks the cluster.
func (l *link) Announced(ctx context.Context) (values map[string]string, err error) {
	err = l.pass(ctx, Call{Kind: Announced}, func() { values = l.cluster.announced() })
	if err != nil {
		return nil, err
	}
	return values, nil
}
