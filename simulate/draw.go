package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/resource"
)

// Span is a number that is drawn: always the same, any between two, one of
// several, or with an exponential distribution around a mean.
type Span struct {
	values []int64 // one of these
	ranged bool    // any between the two values, in steps
	step   int64
	mean   float64 // of an exponential distribution, instead
}

// draw returns a number of the span.
func (s Span) draw(r *rand.Rand) int64 {
	switch {
	case s.mean > 0:
		return int64(math.Min(r.ExpFloat64()*s.mean, math.MaxInt64/2))
	case s.ranged:
		return s.values[0] + s.step*r.Int64N((s.values[1]-s.values[0])/s.step+1)
	case len(s.values) == 1:
		return s.values[0]
	default:
		return s.values[r.IntN(len(s.values))]
	}
}

// parseSpan reads a span whose numbers one reads, and draws between two of them in
// steps of step where both are multiples of it.
func parseSpan(text string, step int64, one func(string) (int64, error)) (Span, error) {
	if from, to, ranged := strings.Cut(text, ".."); ranged {
		first, err := one(from)
		if err != nil {
			return Span{}, err
		}
		last, err := one(to)
		if err != nil {
			return Span{}, err
		}
		if last < first {
			return Span{}, fmt.Errorf("found %q; want the lower one first", text)
		}
		if first%step != 0 || last%step != 0 {
			step = 1
		}
		return Span{values: []int64{first, last}, ranged: true, step: step}, nil
	}
	var s Span
	for part := range strings.SplitSeq(text, "|") {
		value, err := one(part)
		if err != nil {
			return Span{}, err
		}
		s.values = append(s.values, value)
	}
	return s, nil
}

// parseLengths reads a span of durations: 30s, 10s..5m, 10s|1m, exp(2m).
func parseLengths(text string) (Span, error) {
	one := func(text string) (int64, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("found %q; want a length such as 30s, 10s..5m, 10s|1m or exp(2m)", text)
		}
		return int64(d), nil
	}
	inner, exponential := strings.CutPrefix(text, "exp(")
	if !exponential {
		return parseSpan(text, int64(time.Millisecond), one)
	}
	mean, err := one(strings.TrimSuffix(inner, ")"))
	if err != nil || mean == 0 || !strings.HasSuffix(inner, ")") {
		return Span{}, fmt.Errorf("found %q; want exp(MEAN), such as exp(2m)", text)
	}
	return Span{mean: float64(mean)}, nil
}

// parseCopies reads a span of numbers of copies.
func parseCopies(text string) (Span, error) {
	return parseSpan(text, 1, func(text string) (int64, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > copiesMax {
			return 0, fmt.Errorf("found %q; want 1 to %d, as in 3, 1..10 or 1|8", text, copiesMax)
		}
		return int64(n), nil
	})
}

// parseAmounts reads a span of amounts of a resource: 2, 0.5..4, 1GiB|4GiB.
func parseAmounts(t resource.Type, text string) (Span, error) {
	step := int64(100) // a tenth
	if bytes := t == resource.Mem || t == resource.Disk; bytes {
		step = 1 << 20
	}
	if t == resource.GPUs {
		step = 1
	}
	return parseSpan(text, step, func(text string) (int64, error) {
		q, err := resource.Parse(t, text)
		if err != nil {
			return 0, err
		}
		if q.Kind() != resource.KindScalar {
			return 0, fmt.Errorf("%s: found %q; want one number", t, text)
		}
		return q.Amount(), nil
	})
}

// rate is how jobs arrive.
type rate struct {
	mean  time.Duration // from one to the next
	fixed bool          // always so long
}

func (a rate) draw(r *rand.Rand) time.Duration {
	if a.fixed {
		return a.mean
	}
	return time.Duration(r.ExpFloat64() * float64(a.mean))
}

// parseRate reads how jobs arrive: 5/s, 300/m or 1000/h at random, or every 200ms.
func parseRate(text string) (rate, error) {
	wrong := fmt.Errorf("found %q; want jobs at random as in 5/s, 300/m, 1000/h or 2000/d, or one after the other as in 'every 200ms'", text)
	if pause, fixed := strings.CutPrefix(text, "every "); fixed {
		d, err := time.ParseDuration(strings.TrimSpace(pause))
		if err != nil || d <= 0 {
			return rate{}, wrong
		}
		return rate{mean: d, fixed: true}, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0) || math.IsInf(n, 0) {
		return rate{}, wrong
	}
	mean := time.Duration(float64(per) / n)
	if mean <= 0 {
		return rate{}, wrong
	}
	return rate{mean: mean}, nil
}

// mix is names of which one is drawn, each as often as its share says.
type mix struct {
	names  []string
	shares []float64
	sum    float64
}

func (m mix) draw(r *rand.Rand) string {
	if len(m.names) == 0 {
		return ""
	}
	at := r.Float64() * m.sum
	for i, share := range m.shares {
		if at -= share; at < 0 {
			return m.names[i]
		}
	}
	return m.names[len(m.names)-1]
}

// parseMix reads names with their shares, as in a=0.7,b=0.3; a name without one
// has the share 1.
func parseMix(text string) (mix, error) {
	var m mix
	if text == "" {
		return m, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, number, given := strings.Cut(part, "=")
		share := 1.0
		if given {
			var err error
			if share, err = strconv.ParseFloat(number, 64); err != nil || !(share > 0) || math.IsInf(share, 0) {
				return mix{}, fmt.Errorf("%s: found %q; want a share above 0, as in a=0.7,b=0.3", name, number)
			}
		}
		if name == "" {
			return mix{}, fmt.Errorf("found %q; want names with shares, as in a=0.7,b=0.3", text)
		}
		m.names, m.shares, m.sum = append(m.names, name), append(m.shares, share), m.sum+share
	}
	return m, nil
}
