package master

import (
	"context"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/succession"
)

// headStart is how much earlier a master may take over than the one behind it. Those
// behind placeMax wait no longer: it is not likely that so many of those before are gone,
// and who ends a term waits no longer than a second for the next one.
func (c Config) headStart() time.Duration { return c.SilentAfter / 10 }

const placeMax = 2

// lookAround keeps sight of the masters that are there, until ctx is done.
func (m *Master) lookAround(ctx context.Context) {
	for {
		asking, cancel := context.WithTimeout(ctx, presentWithin)
		list, err := m.present(asking)
		cancel()
		if err == nil { // else it knows what it knew
			addresses := []string{m.cfg.Advertise}
			for _, info := range list {
				if info.GetId() != m.cfg.ID && info.GetAddress() != "" {
					addresses = append(addresses, info.GetAddress())
				}
			}
			m.around.Store(&addresses)
		}
		if !wait(ctx, m.cfg.beatEvery()) {
			return
		}
	}
}

// behind is for how long this master lets others lead first after the term of former:
// agents ask masters in the order in which they take over from one another, and would
// all come twice if another one were first.
func (m *Master) behind(former string) time.Duration {
	around := m.around.Load()
	if around == nil || m.cfg.Advertise == "" {
		return 0
	}
	order := succession.After(leaderOf(former, 0).address, *around)
	place := slices.Index(order, m.cfg.Advertise)
	if place < 0 { // it has led itself
		place = len(order)
	}
	return time.Duration(min(place, placeMax)) * m.cfg.headStart()
}
