package load

import (
	"net/http"
	"slices"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// Window is the time in which a program was killed: some moment between the two.
type Window struct{ From, To time.Time }

// Tally is what became of the requests of one phase.
type Tally struct {
	Phase    string
	Requests int
	Failures []Result // in the order in which they were begun
	Excused  []Result // POSTs that were in flight when an instance was killed
	P50, P99 time.Duration
	Versions map[string]int // answers by the version that gave them
}

func newTally(name string, results []Result) Tally {
	tally := Tally{Phase: name, Requests: len(results), Versions: make(map[string]int)}
	latencies := make([]time.Duration, 0, len(results))
	for _, r := range results {
		latencies = append(latencies, r.Latency)
		if r.Problem != "" {
			tally.Failures = append(tally.Failures, r)
			continue
		}
		tally.Versions[r.Version]++
	}
	slices.SortFunc(tally.Failures, func(a, b Result) int { return a.Begun.Compare(b.Begun) })
	slices.Sort(latencies)
	tally.P50, tally.P99 = report.Quantile(latencies, 50), report.Quantile(latencies, 99)
	return tally
}

// Excuse moves the failures apart that a kill in the window explains: POSTs that
// were in flight then. Whether such a request took effect is not known, so no
// router may send it again.
func (t Tally) Excuse(kill Window) Tally {
	var failures []Result
	excused := slices.Clone(t.Excused)
	for _, r := range t.Failures {
		inFlight := !r.Begun.After(kill.To) && !r.Ended().Before(kill.From)
		if r.Method == http.MethodPost && inFlight {
			excused = append(excused, r)
		} else {
			failures = append(failures, r)
		}
	}
	t.Failures, t.Excused = failures, excused
	return t
}
