package simulate

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unit is how a figure is written.
type unit uint8

const (
	number unit = iota
	duration
	partOf
	index
)

// figure is one number of a report, by a name such as wait.pool.batch.p99.
type figure struct {
	name  string
	value float64
	unit  unit
	brief bool // it is in a comparison
}

func (f figure) String() string {
	switch f.unit {
	case duration:
		return seconds(f.value)
	case partOf:
		return percent(f.value)
	case index:
		return fmt.Sprintf("%.2f", f.value)
	default:
		return short(f.value)
	}
}

// figures returns all numbers of a report but for the series.
func (r *Report) figures() []figure {
	list := []figure{
		{"machines", float64(r.Machines), number, true},
		{"jobs.done", float64(r.Jobs.Done), number, true},
		{"jobs.failed", float64(r.Jobs.Failed), number, false},
		{"jobs.running", float64(r.Jobs.Running), number, false},
		{"jobs.waiting", float64(r.Jobs.Waiting), number, true},
		{"copies.done", float64(r.Copies.Done), number, false},
		{"copies.failed", float64(r.Copies.Failed), number, false},
		{"copies.running", float64(r.Copies.Running), number, false},
		{"copies.waiting", float64(r.Copies.Waiting), number, false},
		{"queue.max", float64(r.QueueMax), number, true},
		{"placed.per_second", r.Placed, number, false},
		{"over", r.Seconds, duration, true},
	}
	for _, w := range r.Waits {
		at := "wait."
		if w.Of != "all" {
			at += w.Of + "." + w.Name + "."
		}
		list = append(list,
			figure{at + "p50", w.P50, duration, true}, figure{at + "p90", w.P90, duration, w.Of == "all"},
			figure{at + "p99", w.P99, duration, true}, figure{at + "max", w.Max, duration, false}, figure{at + "mean", w.Mean, duration, false})
	}
	for _, u := range r.Use {
		at := "use." + string(u.Type) + "."
		list = append(list, figure{at + "mean", u.Mean, partOf, u.Most > 0}, figure{at + "most", u.Most, partOf, false})
	}
	for _, s := range r.Shares {
		at := "share." + s.Of + "." + s.Name + "."
		list = append(list, figure{at + "mean", s.Mean, partOf, true}, figure{at + "most", s.Most, partOf, false})
	}
	for _, j := range r.Fairness {
		list = append(list, figure{"fairness." + j.Of + "s", j.Index, index, true})
	}
	return list
}

// Expectation is what a figure of a report should be, as in wait.p99<30s.
type Expectation struct {
	text, name string
	sign       sign
	value      float64
}

// sign compares a figure with a value.
type sign struct {
	text  string
	holds func(order int) bool
}

// signs returns all of them, the longer ones first.
func signs() []sign {
	return []sign{
		{"<=", func(order int) bool { return order <= 0 }},
		{">=", func(order int) bool { return order >= 0 }},
		{"==", func(order int) bool { return order == 0 }},
		{"<", func(order int) bool { return order < 0 }},
		{">", func(order int) bool { return order > 0 }},
	}
}

// ParseExpectation reads what is expected of a figure: a name, one of < <= == >=
// >, and a number, a time or a percentage.
func ParseExpectation(text string) (Expectation, error) {
	for _, sign := range signs() {
		name, value, found := strings.Cut(text, sign.text)
		if !found {
			continue
		}
		e := Expectation{text: text, name: strings.TrimSpace(name), sign: sign}
		value = strings.TrimSpace(value)
		if d, err := time.ParseDuration(value); err == nil && value != "0" {
			e.value = d.Seconds()
			return e, nil
		}
		bare, percentage := strings.CutSuffix(value, "%")
		n, err := strconv.ParseFloat(bare, 64)
		if err != nil {
			return Expectation{}, fmt.Errorf("found %q after %s; want a number, a time such as 30s or a percentage such as 80%%", value, sign.text)
		}
		if e.value = n; percentage {
			e.value = n / 100
		}
		return e, nil
	}
	return Expectation{}, fmt.Errorf("found %q; want a figure and what it should be, as in wait.p99<30s", text)
}

// Check returns an error that says what is not as expected, or that there is no
// such figure.
func (e Expectation) Check(r *Report) error {
	all := r.figures()
	at := slices.IndexFunc(all, func(f figure) bool { return f.name == e.name })
	if at < 0 {
		var names []string
		for _, f := range all {
			names = append(names, f.name)
		}
		return fmt.Errorf("%s: there is no figure %s; there is %s", e.text, e.name, strings.Join(names, ", "))
	}
	if e.sign.holds(cmp.Compare(all[at].value, e.value)) {
		return nil
	}
	return fmt.Errorf("%s: found %s", e.text, all[at])
}

// Comparison prints the figures of two reports side by side.
func Comparison(out io.Writer, before, after *Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "before: %s\nafter:  %s\n\n", before.head(), after.head())
	had := make(map[string]figure)
	for _, f := range before.figures() {
		had[f.name] = f
	}
	var list [][]string
	for _, f := range after.figures() {
		old, known := had[f.name]
		if !f.brief && !old.brief { // an old one that there is not is not brief
			continue
		}
		row := []string{f.name, "-", f.String(), ""}
		if known {
			row[1], row[3] = old.String(), changed(old, f)
		}
		list = append(list, row)
	}
	rows(&b, "FIGURE\tBEFORE\tAFTER\tCHANGE", list)
	_, err := io.WriteString(out, b.String())
	return err
}

// changed says by how much a figure has changed.
func changed(before, after figure) string {
	by := after.value - before.value
	switch {
	case before.String() == after.String():
		return "="
	case after.unit == partOf:
		return fmt.Sprintf("%+.1f points", 100*by)
	case after.unit == index:
		return fmt.Sprintf("%+.2f", by)
	case after.unit == number:
		return fmt.Sprintf("%+g", by)
	case before.value == 0:
		return "+" + seconds(by)
	default:
		return fmt.Sprintf("%+.0f%%", 100*by/before.value)
	}
}
