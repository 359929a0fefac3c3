package simulate

import (
	"math"
	"slices"

	"github.com/aloft-run/aloft/core/resource"
)

// Report is what became of a workload. Times are in seconds, parts between 0 and
// 1, amounts in the unit of a spec: cores, bytes, devices.
type Report struct {
	Machines int      `json:"machines"`
	Seconds  float64  `json:"seconds"` // from the beginning to the end of the run
	Jobs     Tally    `json:"jobs"`
	Copies   Tally    `json:"copies"`
	QueueMax int      `json:"queue_max"`
	Placed   float64  `json:"placed_per_second"` // copies that found a place, on average
	Waits    []Wait   `json:"waits"`             // of all, then of pools and users, by name
	Use      []Use    `json:"use"`               // by resource type
	Shares   []Share  `json:"shares"`            // of pools, then of users, by name
	Fairness []Jain   `json:"fairness"`          // of pools and users, where it was contested
	Series   Series   `json:"series"`
	Reasons  []Reason `json:"reasons,omitempty"` // why copies still wait, the most frequent first
}

// Tally counts jobs or copies.
type Tally struct {
	Arrived int `json:"arrived"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Running int `json:"running"` // of jobs: those with a copy that runs
	Waiting int `json:"waiting"` // of jobs: those of which no copy runs
}

// Wait is for how long copies waited for a place. For those that still wait it is
// for how long they have.
type Wait struct {
	Of     string  `json:"of"` // all, pool or user
	Name   string  `json:"name"`
	Copies int     `json:"copies"`
	P50    float64 `json:"p50_seconds"`
	P90    float64 `json:"p90_seconds"`
	P99    float64 `json:"p99_seconds"`
	Max    float64 `json:"max_seconds"`
	Mean   float64 `json:"mean_seconds"`
}

// Use is how much of a resource type was claimed, and what R was.
type Use struct {
	Type     resource.Type `json:"type"`
	Capacity float64       `json:"capacity"`
	Mean     float64       `json:"mean"`
	Most     float64       `json:"most"`
	RMean    float64       `json:"r_mean"`
	RLeast   float64       `json:"r_least"`
	RMost    float64       `json:"r_most"`
}

// Share is the dominant share of a pool or user: the largest part that it held of
// any resource type.
type Share struct {
	Of       string  `json:"of"` // pool or user
	Name     string  `json:"name"`
	Priority int     `json:"priority"`         // of a pool
	Weight   float64 `json:"weight,omitempty"` // of a pool, beside others of its priority
	Mean     float64 `json:"mean"`
	Most     float64 `json:"most"`
	Waiting  float64 `json:"waiting"` // the part of the time in which something of it waited
}

// Jain is Jain's index of the dominant shares, by weight, of those that waited, over the time
// in which two or more did: 1 when all had the same, 1/n when one had all.
type Jain struct {
	Of        string  `json:"of"`
	Index     float64 `json:"index"`
	Contested float64 `json:"contested"` // that part of the time
}

// Series is what happened over time.
type Series struct {
	Types  []resource.Type `json:"types"`
	Points []Point         `json:"points"`
}

// Point is a piece of time. What is not counted is a mean over it; Use and R are
// by type.
type Point struct {
	At       float64   `json:"at_seconds"` // where it begins
	Seconds  float64   `json:"seconds"`
	Waiting  float64   `json:"waiting"`
	Longest  int       `json:"waiting_max"`
	Running  float64   `json:"running"`
	Placed   int       `json:"placed"`
	Use      []float64 `json:"use"`
	Weighted []float64 `json:"r"`
}

// Reason is why copies wait, in the words of the masters.
type Reason struct {
	Copies int    `json:"copies"`
	Text   string `json:"text"`
}

// reasonsMax bounds how many reasons a report tells.
const reasonsMax = 5

// natural returns an amount in the unit of a spec.
func natural(t resource.Type, amount float64) float64 {
	switch t {
	case resource.Mem, resource.Disk, resource.GPUs:
		return amount
	default:
		return amount / 1000
	}
}

// waitOf sums up for how long the copies of an account waited.
func waitOf(of string, a *account) Wait {
	slices.Sort(a.waits)
	w := Wait{Of: of, Name: a.name, Copies: len(a.waits)}
	if len(a.waits) == 0 {
		return w
	}
	rank := func(part float64) float64 { // the least value that so many are not above
		at := int(math.Ceil(part*float64(len(a.waits)))) - 1
		return a.waits[max(0, at)].Seconds()
	}
	w.P50, w.P90, w.P99, w.Max = rank(0.5), rank(0.9), rank(0.99), rank(1)
	for _, waited := range a.waits {
		w.Mean += waited.Seconds() / float64(len(a.waits))
	}
	return w
}

// points tells the series.
func (m *meter) points() Series {
	s := Series{Types: m.types}
	at := 0.0
	for _, p := range m.series.pieces {
		seconds := p.length.Seconds()
		if seconds == 0 {
			continue
		}
		point := Point{
			At: at, Seconds: seconds, Waiting: p.sums.waiting / seconds, Longest: p.longest, Running: p.sums.running / seconds, Placed: p.placed,
		}
		for i, t := range m.types {
			point.Use = append(point.Use, p.sums.use[i]/seconds)
			point.Weighted = append(point.Weighted, natural(t, p.sums.weighted[i]/seconds))
		}
		s.Points = append(s.Points, point)
		at += seconds
	}
	return s
}
