package simulate

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"

	"github.com/aloft-run/aloft/core/resource"
)

// Named is a report with the name of its run.
type Named struct {
	Run    string
	Report *Report
}

// WriteSeries writes the series of runs as CSV: a line for each piece of time. A
// resource type that a run has nothing of is empty there.
func WriteSeries(out io.Writer, runs ...Named) error {
	var types []resource.Type
	for _, run := range runs {
		types = append(types, run.Report.Series.Types...)
	}
	slices.Sort(types)
	types = slices.Compact(types)
	head := []string{"run", "at_seconds", "seconds", "waiting", "waiting_max", "running", "placed"}
	for _, t := range types {
		head = append(head, "use_"+string(t), "r_"+string(t))
	}
	w := csv.NewWriter(out)
	if err := w.Write(head); err != nil {
		return err
	}
	for _, run := range runs {
		s := run.Report.Series
		for _, p := range s.Points {
			row := []string{run.Run, text(p.At), text(p.Seconds), text(p.Waiting), strconv.Itoa(p.Longest), text(p.Running), strconv.Itoa(p.Placed)}
			for _, t := range types {
				if i := slices.Index(s.Types, t); i >= 0 {
					row = append(row, text(p.Use[i]), text(p.Weighted[i]))
				} else {
					row = append(row, "", "")
				}
			}
			if err := w.Write(row); err != nil {
				return err
			}
		}
	}
	w.Flush()
	return w.Error()
}

// text writes a number in as many digits as it needs, up to 6.
func text(n float64) string { return strconv.FormatFloat(n, 'g', 6, 64) }
