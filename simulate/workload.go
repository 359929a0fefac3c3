package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// Bounds of a workload: what one process can keep in memory.
const (
	jobsMax   = 2_000_000
	copiesMax = 100_000
)

// Job is one job of a workload.
type Job struct {
	At        time.Duration // when it arrives, from the beginning
	Name      string        // for people; need not be the only one of that name
	Copies    int
	Resources resource.Vector // what one copy takes
	Length    time.Duration   // for how long the program of a copy runs
	Pool      id.Pool         // "" for none
	User      string          // "" for nobody
}

// Workload is jobs in the order in which they arrive.
type Workload struct{ Jobs []Job }

// sorted returns the jobs in the order of their arrival; those that come together
// stay as they are.
func sorted(jobs []Job) Workload {
	slices.SortStableFunc(jobs, func(a, b Job) int { return cmp.Compare(a.At, b.At) })
	return Workload{Jobs: jobs}
}

func (w Workload) check() error {
	if len(w.Jobs) > jobsMax {
		return fmt.Errorf("the workload has %d jobs; want at most %d", len(w.Jobs), jobsMax)
	}
	var problems []error
	for i, job := range w.Jobs {
		if err := job.check(); err != nil {
			problems = append(problems, fmt.Errorf("job %d, %q: %w", i+1, job.Name, err))
		}
	}
	return errors.Join(problems...)
}

func (j Job) check() error {
	switch {
	case j.At < 0:
		return fmt.Errorf("arrival: found %v; want 0 or later", j.At)
	case j.Copies < 1 || j.Copies > copiesMax:
		return fmt.Errorf("copies: found %d; want 1 to %d", j.Copies, copiesMax)
	case j.Length < 0:
		return fmt.Errorf("length: found %v; want 0 or more", j.Length)
	}
	var problems []error
	if j.Pool != "" {
		problems = append(problems, id.Check(j.Pool))
	}
	if j.User != "" {
		problems = append(problems, checkUser(j.User))
	}
	return errors.Join(problems...)
}

// checkUser returns an error unless a spec can have that user.
func checkUser(name string) error {
	if !spec.IsUser(name) {
		return fmt.Errorf("found %q; want a name as in anna or anna@example.com", name)
	}
	return nil
}

// copies returns how many copies all jobs have together.
func (w Workload) copies() int {
	sum := 0
	for _, job := range w.Jobs {
		sum += job.Copies
	}
	return sum
}

// Pools returns the pools that jobs draw from, in order.
func (w Workload) Pools() []id.Pool {
	seen := make(map[id.Pool]bool)
	var list []id.Pool
	for _, job := range w.Jobs {
		if job.Pool != "" && !seen[job.Pool] {
			seen[job.Pool] = true
			list = append(list, job.Pool)
		}
	}
	slices.Sort(list)
	return list
}
