package simulate

import "time"

// pointsMax bounds how many pieces of time a series tells apart: when there would
// be more, each two become one of twice the length.
const pointsMax = 240

// firstStep is how long a piece of time is at first.
const firstStep = time.Second

// values are what a series follows.
type values struct {
	use, weighted    []float64 // by type
	waiting, running float64
}

func newValues(types int) values {
	return values{use: make([]float64, types), weighted: make([]float64, types)}
}

// add adds values that were so for some seconds.
func (v *values) add(more values, seconds float64) {
	for i := range v.use {
		v.use[i] += more.use[i] * seconds
		v.weighted[i] += more.weighted[i] * seconds
	}
	v.waiting += more.waiting * seconds
	v.running += more.running * seconds
}

// piece is a piece of time.
type piece struct {
	sums    values // times seconds
	length  time.Duration
	placed  int // copies of the workload that found a place
	longest int // the most that waited
}

// series is what happened over time, in pieces of equal length but for the last.
type series struct {
	types  int
	step   time.Duration
	pieces []piece // the last one is being filled
}

func newSeries(types int) series {
	s := series{types: types, step: firstStep}
	s.begin()
	return s
}

func (s *series) begin() { s.pieces = append(s.pieces, piece{sums: newValues(s.types)}) }

// current returns the piece that is being filled.
func (s *series) current() *piece { return &s.pieces[len(s.pieces)-1] }

// placed counts a copy that found a place.
func (s *series) placed() { s.current().placed++ }

// pass has time pass in which the values are the same.
func (s *series) pass(v values, d time.Duration) {
	for d > 0 {
		at := s.current()
		step := min(d, s.step-at.length)
		at.sums.add(v, step.Seconds())
		at.longest = max(at.longest, int(v.waiting))
		at.length += step
		if d -= step; at.length < s.step {
			continue
		}
		if len(s.pieces) == pointsMax {
			s.halve()
		}
		s.begin()
	}
}

// halve makes each two pieces one.
func (s *series) halve() {
	s.step *= 2
	half := s.pieces[:0]
	for i := 0; i+1 < len(s.pieces); i += 2 {
		one, other := s.pieces[i], s.pieces[i+1]
		one.sums.add(other.sums, 1)
		one.length += other.length
		one.placed += other.placed
		one.longest = max(one.longest, other.longest)
		half = append(half, one)
	}
	s.pieces = half
}
