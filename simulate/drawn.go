package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Drawn is a workload that is drawn, in the words of a command line. Zero fields
// get their defaults.
type Drawn struct {
	Arrivals string        // 5/s at random, or "every 200ms"
	For      time.Duration // for how long jobs arrive; default 1 h
	Jobs     int           // how many arrive at most; 0: as many as come
	Sizes    []string      // each as cpus=0.5..4,mem=1GiB; one of them is drawn for each job; default cpus=1,mem=1GiB
	Length   string        // 30s, 10s..5m, 10s|1m, exp(2m); default exp(1m)
	Copies   string        // 1, 1..10, 1|8; default 1
	Pools    string        // a=0.7,b=0.3
	Users    string        // the same
	Seed     uint64
}

// drawer is Drawn once it is understood.
type drawer struct {
	arrivals       rate
	sizes          []size
	length, copies Span
	pools, users   mix
}

// size is a span for each of several resource types.
type size []struct {
	of     resource.Type
	amount Span
}

func (d Drawn) withDefaults() Drawn {
	if d.For == 0 {
		d.For = time.Hour
	}
	if len(d.Sizes) == 0 {
		d.Sizes = []string{"cpus=1,mem=1GiB"}
	}
	if d.Length == "" {
		d.Length = "exp(1m)"
	}
	if d.Copies == "" {
		d.Copies = "1"
	}
	return d
}

// understand reads all words, and tells all that is wrong with them, each with
// the name of its flag.
func (d Drawn) understand() (drawer, error) {
	var problems []error
	problem := func(flag string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	var made drawer
	var err error
	made.arrivals, err = parseRate(d.Arrivals)
	problem("arrivals", err)
	made.length, err = parseLengths(d.Length)
	problem("length", err)
	made.copies, err = parseCopies(d.Copies)
	problem("copies", err)
	made.pools, err = parseMix(d.Pools)
	problem("pools", err)
	made.users, err = parseMix(d.Users)
	problem("users", err)
	for _, name := range made.pools.names {
		problem("pools", id.Check(id.Pool(name)))
	}
	for _, name := range made.users.names {
		problem("users", checkUser(name))
	}
	for _, text := range d.Sizes {
		s, err := parseSize(text)
		problem("size", err)
		made.sizes = append(made.sizes, s)
	}
	if d.For < 0 {
		problem("for", fmt.Errorf("found %v; want more than 0", d.For))
	}
	if d.Jobs < 0 || d.Jobs > jobsMax {
		problem("jobs", fmt.Errorf("found %d; want 1 to %d", d.Jobs, jobsMax))
	}
	return made, errors.Join(problems...)
}

func parseSize(text string) (size, error) {
	var s size
	for part := range strings.SplitSeq(text, ",") {
		name, amount, given := strings.Cut(part, "=")
		if !given {
			return nil, fmt.Errorf("found %q; want TYPE=AMOUNT, as in cpus=0.5..4,mem=1GiB", part)
		}
		of := resource.Type(name)
		if err := id.Check(of); err != nil {
			return nil, err
		}
		span, err := parseAmounts(of, amount)
		if err != nil {
			return nil, err
		}
		s = append(s, struct {
			of     resource.Type
			amount Span
		}{of, span})
	}
	return s, nil
}

func (s size) draw(r *rand.Rand) resource.Vector {
	var v resource.Vector
	for _, part := range s {
		v = v.With(part.of, resource.Scalar(part.amount.draw(r)))
	}
	return v
}

// Workload draws the jobs. The same words and seed give the same jobs, and each
// property of a job is drawn apart: another length changes no arrival.
func (d Drawn) Workload() (Workload, error) {
	d = d.withDefaults()
	made, err := d.understand()
	if err != nil {
		return Workload{}, err
	}
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(d.Seed, n)) } //nolint:gosec // it shall be the same each time
	arrivals, sizes, lengths, copies, pools, users := stream(1), stream(2), stream(3), stream(4), stream(5), stream(6)
	var jobs []Job
	for at := made.arrivals.draw(arrivals); at < d.For; at += made.arrivals.draw(arrivals) {
		if d.Jobs > 0 && len(jobs) == d.Jobs {
			break
		}
		if len(jobs) == jobsMax {
			return Workload{}, fmt.Errorf("--arrivals: %s for %v are more than %d jobs", d.Arrivals, d.For, jobsMax)
		}
		jobs = append(jobs, Job{
			At: at, Name: "job-" + strconv.Itoa(len(jobs)+1), Copies: int(made.copies.draw(copies)),
			Resources: made.sizes[sizes.IntN(len(made.sizes))].draw(sizes), Length: time.Duration(made.length.draw(lengths)),
			Pool: id.Pool(made.pools.draw(pools)), User: made.users.draw(users),
		})
	}
	return Workload{Jobs: jobs}, nil
}
