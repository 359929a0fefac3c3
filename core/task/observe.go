package task

import (
	"cmp"
	"slices"
)

// Observe folds an agent's report of a task into what the master knows of it,
// and reports whether that changed anything. Reports may come late, twice, out
// of order, or leave states out. The newest counts, by this order: an end, then
// being stopped, then the higher attempt, then the further state; between ready
// and running, and between healthy and unhealthy, the later one.
//
// A task never comes back from an end but by Return. One that the master drains or stops goes
// no way but on: an exit ends it as Stopped, or as Finished if it reached its
// aim by itself. When a draining one is about to be started again it becomes
// Stopping: nothing is left to drain, and its claim is only given back when its
// agent says that it has ended.
//
// A report changes nothing when the master believes the task to be Pending, for
// then no agent has it, or when it tells of a state that agents do not decide.
func Observe(known, reported Status) (Status, bool) {
	if known.State == Pending || known.State.Ended() || !reportable(reported.State) {
		return known, false
	}
	next := known
	switch {
	case !known.State.Live():
		next = leave(known, reported)
	case !older(reported, known):
		next = reported
		next.Last = cmp.Or(reported.Last, known.Last)
	}
	return next, !next.Equal(known)
}

// Return takes back a task that was Lost, as its agent says that it stands: the
// agent was not gone. It is false when the task was not lost, or the agent has
// nothing of it that could serve or that came to its aim. It is the only way from
// an end, and only the master, which gave the task up, goes it.
func Return(known, reported Status) (Status, bool) {
	back := []State{Starting, Running, Ready, Backoff, Finished}
	if known.State != Lost || reported.Attempt < known.Attempt || !slices.Contains(back, reported.State) {
		return known, false
	}
	next := reported
	next.Last = cmp.Or(reported.Last, known.Last)
	return next, true
}

// Equal reports whether s and other say the same.
func (s Status) Equal(other Status) bool {
	return s.State == other.State && s.Since.Equal(other.Since) && s.Attempt == other.Attempt &&
		s.ReadySince.Equal(other.ReadySince) && s.Failures == other.Failures && s.RetryAt.Equal(other.RetryAt) &&
		s.Last.Equal(other.Last) && s.Reason == other.Reason &&
		s.UnhealthySince.Equal(other.UnhealthySince) && s.Unhealthy == other.Unhealthy
}

// leave folds a report into a task that is on its way out.
func leave(known, reported Status) Status {
	next := known
	next.Attempt = max(known.Attempt, reported.Attempt)
	if reported.Last != nil && (known.Last == nil || !reported.Last.At.Before(known.Last.At)) {
		next.Last, next.Failures = reported.Last, reported.Failures
	}
	end := reported.State
	switch {
	case end == Finished:
		next = next.enter(Finished, reported.Since, reported.Reason)
	case end.Ended():
		next = next.enter(Stopped, reported.Since, known.Reason)
	case end == Stopping:
		if known.State == Draining {
			next = next.enter(Stopping, reported.Since, known.Reason)
		}
		return next
	default:
		return next
	}
	return next.clear()
}

// reportable reports whether an agent can say something new with that state.
func reportable(s State) bool {
	return slices.Contains([]State{Starting, Running, Ready, Backoff, Stopping, Stopped, Finished, Failed}, s)
}

// older reports whether a tells of an earlier moment of a task's life than b.
func older(a, b Status) bool {
	return cmp.Or(
		cmp.Compare(finality(a.State), finality(b.State)),
		cmp.Compare(a.Attempt, b.Attempt),
		cmp.Compare(phase(a.State), phase(b.State)),
		a.Since.Compare(b.Since),
		cmp.Compare(a.State, b.State),
	) < 0
}

// finality orders what no later attempt can undo.
func finality(s State) int {
	switch {
	case s.Ended():
		return 2
	case s == Stopping:
		return 1
	}
	return 0
}

// phase orders the states of one attempt. Ready and Running share a phase, for
// a program may go from one to the other many times.
func phase(s State) int {
	switch s {
	case Running, Ready:
		return int(Running)
	default:
		return int(s)
	}
}
