package engine

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// That an agent fell silent or is back concerns every service with tasks on it: what is
// in the table, and what to do. While few agents come and go each is taken care of at once. When
// sightsAtOnce of them have within sightEvery, that is done for all together, so often:
// where thousands of agents lose their sessions, all services of a large cluster would be
// planned for each few of them, and nothing else done meanwhile.
const (
	sightsAtOnce = 100
	sightEvery   = time.Second
)

// sights counts the agents that come and go.
type sights struct {
	began time.Time // of the sightEvery that is counted
	count int       // of agents in it
	many  bool      // there are too many now, or were in the one before
	late  map[id.Service]*service
}

// sight has the services looked at that have tasks on an agent which fell silent or is
// back: now, or together with those of others.
func (e *Engine) sight(m *machine) {
	s := &e.sights
	if since := e.now.Sub(s.began); since >= sightEvery {
		s.many = since < 2*sightEvery && s.count > sightsAtOnce
		s.began, s.count = e.now, 0
	}
	s.count++
	s.many = s.many || s.count > sightsAtOnce
	for t := range m.tasks {
		if s.many {
			s.late[t.record.Service] = t.owner
		} else {
			e.look(t.owner)
		}
	}
	if len(s.late) > 0 {
		e.timers.advance(timerKey{sightTimer, ""}, s.began.Add(sightEvery))
	}
}

// seeAgain is sight for an agent that joins, and may have changed in more than that it was
// silent: then nothing is put off.
func (e *Engine) seeAgain(m *machine, only bool) {
	if only {
		e.sight(m)
		return
	}
	for t := range m.tasks {
		e.look(t.owner)
	}
}

// look has a service planned, and its part of the table made anew.
func (e *Engine) look(s *service) {
	e.touch(s)
	e.tableStale[s.record.Name] = struct{}{}
}

// wakeSights looks at what was put off.
func (e *Engine) wakeSights() {
	for name, s := range e.sights.late {
		if e.services[name] == s {
			e.look(s)
		}
	}
	clear(e.sights.late)
}
