package simulate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aloft-run/aloft/core/resource"
)

// Sizes of what is printed, for a page of 80 columns.
const (
	rowsMax    = 16 // of what happened over time
	sparkMax   = 32 // signs of a line that shows it
	nameMax    = 24
	reasonMax  = 200
	typesShown = 3 // resource types in the table over time: the ones that were used most
)

// Text prints a report for people, in 80 columns.
func (r *Report) Text(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, over after %s\n", r.head(), seconds(r.Seconds))
	b.WriteString("\n")
	rows(&b, "\tARRIVED\tDONE\tFAILED\tRUNNING\tWAITING", [][]string{r.Jobs.row("jobs"), r.Copies.row("copies")})
	var waited [][]string
	for _, w := range r.Waits {
		waited = append(waited, []string{
			label(w.Of, w.Name), strconv.Itoa(w.Copies), seconds(w.P50), seconds(w.P90), seconds(w.P99), seconds(w.Max), seconds(w.Mean),
		})
	}
	b.WriteString("\n")
	rows(&b, "WAIT\tCOPIES\tP50\tP90\tP99\tMAX\tMEAN", waited)
	r.textReasons(&b)
	r.textUse(&b)
	r.textShares(&b)
	r.textSeries(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

// head says in a line what was run.
func (r *Report) head() string {
	parts := []string{resource.Count(r.Machines, "machine")}
	for _, u := range r.shown() {
		parts = append(parts, string(u.Type)+" "+amount(u.Type, u.Capacity))
	}
	return strings.Join(parts, ", ")
}

func (t Tally) row(name string) []string {
	row := []string{name}
	for _, n := range []int{t.Arrived, t.Done, t.Failed, t.Running, t.Waiting} {
		row = append(row, strconv.Itoa(n))
	}
	return row
}

func label(of, name string) string {
	if name == "" {
		return of
	}
	return of + " " + clip(name, nameMax)
}

func clip(text string, most int) string {
	letters := []rune(text)
	if len(letters) <= most {
		return text
	}
	return string(letters[:most-1]) + "…"
}

func (r *Report) textReasons(b *strings.Builder) {
	if len(r.Reasons) == 0 {
		return
	}
	b.WriteString("\nWhy copies still wait:\n")
	for _, reason := range r.Reasons {
		fmt.Fprintf(b, "  %d: %s\n", reason.Copies, clip(strings.ReplaceAll(reason.Text, "\n", " "), reasonMax))
	}
}

// shown returns the resource types that something was used of, or all if nothing
// was.
func (r *Report) shown() []Use {
	var list []Use
	for _, u := range r.Use {
		if u.Most > 0 {
			list = append(list, u)
		}
	}
	if len(list) == 0 {
		return r.Use
	}
	return list
}

func (r *Report) textUse(b *strings.Builder) {
	var use, weighted [][]string
	for i, t := range r.Series.Types {
		u := r.Use[i]
		if u.Most == 0 {
			continue
		}
		var parts, free []float64
		for _, p := range r.Series.Points {
			parts, free = append(parts, p.Use[i]), append(free, p.Weighted[i]/max(u.RMost, 1e-9))
		}
		use = append(use, []string{string(t), amount(t, u.Capacity), percent(u.Mean), percent(u.Most), spark(parts)})
		weighted = append(weighted, []string{"R(" + string(t) + ")", amount(t, u.RMost), amount(t, u.RMean), amount(t, u.RLeast), spark(free)})
	}
	if len(use) == 0 {
		return
	}
	b.WriteString("\n")
	rows(b, "USE\tOF\tMEAN\tMOST\tOVER TIME, 0 TO 100 %", use)
	b.WriteString("\n")
	rows(b, "CAPACITY\tMOST\tMEAN\tLEAST\tOVER TIME, 0 TO MOST", weighted)
}

func (r *Report) textShares(b *strings.Builder) {
	var list [][]string
	for _, s := range r.Shares {
		priority, weight := "-", "-"
		if s.Of == "pool" {
			priority, weight = strconv.Itoa(s.Priority), short(s.Weight)
		}
		list = append(list, []string{label(s.Of, s.Name), priority, weight, percent(s.Mean), percent(s.Most), percent(s.Waiting)})
	}
	if len(list) == 0 {
		return
	}
	b.WriteString("\n")
	rows(b, "SHARE\tPRIORITY\tWEIGHT\tMEAN\tMOST\tWAITED", list)
	for _, j := range r.Fairness {
		fmt.Fprintf(b, "fairness of %ss: %.2f (Jain's index), in the %s of the time in which several waited\n", j.Of, j.Index, percent(j.Contested))
	}
}

// textSeries prints what happened over time, in a few rows.
func (r *Report) textSeries(b *strings.Builder) {
	points := r.Series.gathered(rowsMax)
	if len(points) < 2 {
		return
	}
	head := []string{"TIME", "WAITING", "RUNNING", "PLACED/S"}
	var shown []int
	for i, u := range r.Use {
		if u.Most > 0 && len(shown) < typesShown {
			shown = append(shown, i)
			head = append(head, strings.ToUpper(string(u.Type)), "R("+string(u.Type)+")")
		}
	}
	var list [][]string
	for _, p := range points {
		row := []string{
			seconds(p.At), strconv.Itoa(int(math.Round(p.Waiting))), strconv.Itoa(int(math.Round(p.Running))),
			fmt.Sprintf("%.2f", float64(p.Placed)/p.Seconds),
		}
		for _, i := range shown {
			row = append(row, percent(p.Use[i]), amount(r.Use[i].Type, p.Weighted[i]))
		}
		list = append(list, row)
	}
	b.WriteString("\n")
	rows(b, strings.Join(head, "\t"), list)
}

// gathered returns the points, several put together so that there are no more
// than most.
func (s Series) gathered(most int) []Point {
	each := (len(s.Points) + most - 1) / most
	var list []Point
	for i, p := range s.Points {
		if i%max(each, 1) == 0 {
			p.Use, p.Weighted = append([]float64(nil), p.Use...), append([]float64(nil), p.Weighted...)
			list = append(list, p)
			continue
		}
		list[len(list)-1].add(p)
	}
	return list
}

// add has a point stand for another one, too, that follows.
func (p *Point) add(next Point) {
	old, more := p.Seconds/(p.Seconds+next.Seconds), next.Seconds/(p.Seconds+next.Seconds)
	for i := range p.Use {
		p.Use[i] = p.Use[i]*old + next.Use[i]*more
		p.Weighted[i] = p.Weighted[i]*old + next.Weighted[i]*more
	}
	p.Waiting, p.Running = p.Waiting*old+next.Waiting*more, p.Running*old+next.Running*more
	p.Longest, p.Placed, p.Seconds = max(p.Longest, next.Longest), p.Placed+next.Placed, p.Seconds+next.Seconds
}

// spark draws values between 0 and 1 as a line.
func spark(values []float64) string {
	signs := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for i := range min(sparkMax, len(values)) {
		from, to := i*len(values)/min(sparkMax, len(values)), (i+1)*len(values)/min(sparkMax, len(values))
		sum := 0.0
		for _, v := range values[from:to] {
			sum += v
		}
		at := int(sum / float64(to-from) * float64(len(signs)))
		b.WriteRune(signs[min(max(at, 0), len(signs)-1)])
	}
	return b.String()
}

// rows prints a table. What follows the first column is aligned.
func rows(b *strings.Builder, head string, list [][]string) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, row := range list {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a builder takes it all
	for line := range strings.Lines(text.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// seconds prints a time: exactly where it is short.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d == 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		text := d.Round(time.Second).String()
		text = strings.Replace(text, "m0s", "m", 1)
		return strings.Replace(text, "h0m", "h", 1)
	default:
		return fmt.Sprintf("%.1fd", d.Hours()/24)
	}
}

func percent(part float64) string { return fmt.Sprintf("%.1f%%", 100*part) }

// amount prints an amount in the unit of a spec, in three or four digits.
func amount(t resource.Type, n float64) string {
	if t != resource.Mem && t != resource.Disk {
		return short(n)
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; i < len(units)-1 && n >= 1024; i++ {
		n /= 1024
	}
	return short(n) + units[i]
}

func short(n float64) string {
	if n >= 100 {
		return strconv.FormatFloat(math.Round(n), 'f', -1, 64)
	}
	return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64)
}
