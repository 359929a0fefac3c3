package simulate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// resourcePrefix marks a column of a trace as an amount of a custom resource type.
const resourcePrefix = "resource."

// problemsMax bounds how much is told of a trace that is wrong.
const problemsMax = 20

// column reads a cell into a job.
type column func(job *Job, cell string) error

// columnOf returns what reads a column of a trace; nil if there is none of that
// name.
func columnOf(name string) column {
	if of, custom := strings.CutPrefix(name, resourcePrefix); custom && id.Check(resource.Type(of)) == nil {
		return amountColumn(resource.Type(of))
	}
	switch name {
	case "arrival":
		return timeColumn(func(job *Job) *time.Duration { return &job.At })
	case "length":
		return timeColumn(func(job *Job) *time.Duration { return &job.Length })
	case "name":
		return func(job *Job, cell string) error { job.Name = cell; return nil }
	case "user":
		return func(job *Job, cell string) error {
			job.User = cell
			return checkUser(cell)
		}
	case "pool":
		return func(job *Job, cell string) error {
			job.Pool = id.Pool(cell)
			return id.Check(job.Pool)
		}
	case "copies":
		return func(job *Job, cell string) (err error) {
			if job.Copies, err = strconv.Atoi(cell); err != nil || job.Copies < 1 || job.Copies > copiesMax {
				return fmt.Errorf("found %q; want 1 to %d", cell, copiesMax)
			}
			return nil
		}
	case "cpus", "mem", "disk", "gpus":
		return amountColumn(resource.Type(name))
	default:
		return nil
	}
}

func timeColumn(of func(*Job) *time.Duration) column {
	return func(job *Job, cell string) (err error) {
		*of(job), err = parseTime(cell)
		return err
	}
}

func amountColumn(of resource.Type) column {
	return func(job *Job, cell string) error {
		q, err := resource.Parse(of, cell)
		if err != nil {
			return err
		}
		if q.Kind() != resource.KindScalar {
			return fmt.Errorf("found %q; want one number", cell)
		}
		job.Resources = job.Resources.With(of, q)
		return nil
	}
}

// parseTime reads seconds, or a duration such as 1h30m.
func parseTime(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0) || seconds > float64(math.MaxInt64/int64(time.Second)/4) {
		return 0, fmt.Errorf("found %q; want seconds as in 12.5, or a time as in 1h30m", text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// ReadTrace reads a workload as CSV, in any order. Its first line names the
// columns: arrival and length are needed; name, copies, cpus, mem, disk, gpus,
// resource.TYPE, pool and user may be there. The error tells, up to a bound, all
// that is wrong, each with its line and column.
func ReadTrace(name string, r io.Reader) (Workload, error) {
	reader := csv.NewReader(r)
	reader.Comment, reader.TrimLeadingSpace = '#', true
	head, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return Workload{}, fmt.Errorf("%s: it is empty; want a line that names the columns: %s", name, columnNames())
	}
	if err != nil {
		return Workload{}, fmt.Errorf("%s: %w", name, err)
	}
	t := trace{name: name, head: slices.Clone(head)}
	if t.read, err = readersOf(t.head); err != nil {
		return Workload{}, fmt.Errorf("%s: line 1: %w", name, err)
	}
	for len(t.problems) < problemsMax && len(t.jobs) <= jobsMax {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.problems = append(t.problems, fmt.Errorf("%s: %w", name, err))
			break
		}
		line, _ := reader.FieldPos(0)
		t.add(line, row)
	}
	if len(t.jobs) > jobsMax {
		return Workload{}, fmt.Errorf("%s: it has more than %d jobs", name, jobsMax)
	}
	if len(t.problems) > 0 {
		return Workload{}, errors.Join(t.problems...)
	}
	return sorted(t.jobs), nil
}

// trace is a trace that is being read.
type trace struct {
	name     string
	head     []string
	read     []column
	jobs     []Job
	problems []error
}

// add reads a line.
func (t *trace) add(line int, row []string) {
	job := Job{Name: "job-" + strconv.Itoa(len(t.jobs)+1), Copies: 1}
	for i, cell := range row {
		if cell = strings.TrimSpace(cell); cell == "" {
			continue
		}
		if err := t.read[i](&job, cell); err != nil {
			t.problems = append(t.problems, fmt.Errorf("%s: line %d, column %d, %s: %w", t.name, line, i+1, t.head[i], err))
		}
	}
	t.jobs = append(t.jobs, job)
}

// readersOf returns what reads each column of a trace.
func readersOf(head []string) ([]column, error) {
	var list []column
	seen := make(map[string]bool)
	for i, name := range head {
		name = strings.TrimSpace(name)
		head[i] = name
		read := columnOf(name)
		if read == nil {
			return nil, fmt.Errorf("column %d: found %q; want one of %s", i+1, name, columnNames())
		}
		if seen[name] {
			return nil, fmt.Errorf("column %d: %s is there twice", i+1, name)
		}
		seen[name] = true
		list = append(list, read)
	}
	for _, needed := range []string{"arrival", "length"} {
		if !seen[needed] {
			return nil, fmt.Errorf("the column %s is missing; found %s", needed, strings.Join(head, ", "))
		}
	}
	return list, nil
}

func columnNames() string {
	return "arrival, length, name, copies, cpus, mem, disk, gpus, " + resourcePrefix + "TYPE, pool, user"
}
