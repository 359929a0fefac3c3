package engine

import (
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/spec"
)

// runsMax is how many runs of one cron may be open. Where runs overlap and hang,
// there would be no end to them.
const runsMax = 100

// schedule sets a cron's next time after the given one. A zone or schedule that
// cannot be read means never; specs are checked before they get here.
func (e *Engine) schedule(s *service, after time.Time) {
	var zone *time.Location
	wanted := s.wanted().Spec.Schedule
	var next time.Time
	var err error
	if wanted.Timezone != "" && e.config.Zones != nil {
		zone, err = e.config.Zones(wanted.Timezone)
	}
	if err == nil {
		next, err = spec.Next(wanted, zone, after)
	}
	if err != nil {
		next = time.Time{}
		e.note(Note{Kind: CronSkipped, Service: s.record.Name, Text: err.Error()})
	}
	e.putService(s, func(r *Service) { r.NextRun = next })
}

// planSchedule starts the run of a cron whose time has come. Of several times
// that went by, as while no master led, the newest counts for all.
func (e *Engine) planSchedule(s *service) {
	next := s.record.NextRun
	if s.record.Stopped || s.wanted() == nil || next.IsZero() {
		return
	}
	if e.now.Before(next) {
		s.wakeBy(next)
		return
	}
	e.schedule(s, e.now)
	s.wakeBy(s.record.NextRun)
	if len(s.record.Runs) >= runsMax {
		e.note(Note{Kind: CronSkipped, Service: s.record.Name, Text: fmt.Sprintf("%d runs have not ended", len(s.record.Runs))})
		return
	}
	if len(s.record.Runs) > 0 && s.wanted().Spec.Schedule.Overlap == spec.Skip {
		e.note(Note{Kind: CronSkipped, Service: s.record.Name, Text: fmt.Sprintf("run %d has not ended", s.record.Run)})
		return
	}
	e.startRun(s)
	e.note(Note{Kind: CronStarted, Service: s.record.Name, Text: fmt.Sprintf("run %d", s.record.Run)})
}
