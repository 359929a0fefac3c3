package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
)

const (
	rounds    = 3
	instances = 4
	jobs      = 1000
	commands  = 5 // in each round
	idleFor   = 8 * time.Second

	answerWithin = 20 * time.Second

	program = "/bin/true" // of the many jobs
)

// times are the measurements of the rounds.
type times struct {
	ready, first, roll, bad, command, jobs, bare []time.Duration

	memory []memory // of the last round
}

// measureCluster measures a fresh cluster in each round, and the memory of the
// last one.
func (b *bench) measureCluster(ctx context.Context) error {
	var t times
	for round := range rounds {
		b.say("cluster, round %d of %d", round+1, rounds)
		if err := b.measureRound(ctx, &t, round == rounds-1); err != nil {
			return err
		}
	}
	add := b.results.add
	add("a cluster is ready", "`aloft dev`", time.Second, t.ready)
	add("submit to the first answer through the router", "`aloft deploy` of the first release", 300*time.Millisecond, t.first)
	add(fmt.Sprintf("roll of %d instances that are ready at once, settle 0", instances), "`aloft deploy` of the second", 2*time.Second, t.roll)
	add("a release that exits at once is judged bad and rolled back", "`aloft deploy` of a bad one", 5*time.Second, t.bad)
	add("a command from its start to its end; Mesos 0.6 s, Nomad 1.05 s, measured apart", "`aloft run -- echo hi`", 100*time.Millisecond, t.command)
	add(fmt.Sprintf("%d tasks of `%s` on one agent, from submit to finished; 200/s, Nomad 9 to 18/s, measured apart", jobs, program),
		"`aloft deploy --wait` of a job", jobs*time.Second/200, t.jobs)
	add("the same processes, in the same rounds, one after another and without a manager", "`os.StartProcess`", 0, t.bare)
	for _, part := range t.memory {
		b.results.addMemory(part)
	}
	return nil
}

func (b *bench) measureRound(ctx context.Context, t *times, last bool) (err error) {
	c, err := b.startCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	t.ready = append(t.ready, c.Took)
	step := func(into *[]time.Duration, measure func(context.Context, *cluster.Cluster) (time.Duration, error)) {
		if err == nil {
			var took time.Duration
			took, err = measure(ctx, c)
			*into = append(*into, took)
		}
	}
	step(&t.first, b.firstAnswer)
	step(&t.roll, b.roll)
	step(&t.bad, b.badRelease)
	for range commands {
		step(&t.command, runCommand)
	}
	if last && err == nil { // before the many jobs: idle is who rests from what is usual
		t.memory, err = b.measureMemory(ctx, c)
	}
	step(&t.bare, runBare) // before the jobs, of which much is to be cleared away
	step(&t.jobs, b.manyJobs)
	return err
}

// startCluster starts a cluster of one agent that knows nothing of the ones before.
func (b *bench) startCluster(ctx context.Context) (*cluster.Cluster, error) {
	folder, err := os.MkdirTemp(b.folder, "cluster-")
	if err != nil {
		return nil, err
	}
	return cluster.Start(ctx, cluster.Config{Aloft: b.opts.aloft, Folder: folder, Agents: 1})
}

// firstAnswer measures from the start of `aloft deploy` to the first answer of
// an instance.
func (b *bench) firstAnswer(ctx context.Context, c *cluster.Cluster) (time.Duration, error) {
	file, err := b.releases["v1"].Spec(builds.Deploy{Instances: instances})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	deployed := make(chan error, 1) // the one result
	go func() {
		_, err := c.Do(ctx, "deploy", file)
		if err != nil {
			cancel(err)
		}
		deployed <- err
	}()
	answered := awaitAnswer(ctx, c.HTTP, builds.Host)
	took := time.Since(began)
	if answered != nil {
		cancel(answered)
	}
	err = <-deployed
	return took, cmp.Or(answered, err)
}

// awaitAnswer asks without a pause until an instance answers.
func awaitAnswer(ctx context.Context, url, host string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no instance answered within %s", answerWithin))
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("asking the router: %w", err)
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		if response.StatusCode == http.StatusOK {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// roll measures `aloft deploy` of the next release, to its end.
func (b *bench) roll(ctx context.Context, c *cluster.Cluster) (time.Duration, error) {
	file, err := b.releases["v2"].Spec(builds.Deploy{Instances: instances})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = c.Do(ctx, "deploy", file)
	return time.Since(began), err
}

// badRelease measures how long it takes until the command says that a release is
// bad, with the old one serving.
func (b *bench) badRelease(ctx context.Context, c *cluster.Cluster) (time.Duration, error) {
	file, err := b.releases["v3"].Spec(builds.Deploy{Instances: instances, Arguments: []string{"--exit-at-once"}})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	output, err := c.Aloft(ctx, "deploy", file)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if output.Code == 0 || !strings.Contains(output.String(), "told to exit at once") {
		return 0, fmt.Errorf("aloft deploy of a bad release ended with code %d and without its last log line: %s", output.Code, output)
	}
	_, err = c.Await(ctx, builds.Service, "the release before serves", func(s cluster.Status) bool {
		return s.Ready == instances && s.Claims == instances
	})
	return took, err
}

// runCommand measures a whole command: it is submitted, runs, prints and is removed.
func runCommand(ctx context.Context, c *cluster.Cluster) (time.Duration, error) {
	began := time.Now()
	output, err := c.Aloft(ctx, "run", "--", "echo", "hi")
	took := time.Since(began)
	if err == nil && (output.Code != 0 || !strings.Contains(output.String(), "hi")) {
		err = fmt.Errorf("aloft run ended with code %d: %s", output.Code, output)
	}
	return took, err
}

// manyJobs measures from the submission of a job to its end.
func (b *bench) manyJobs(ctx context.Context, c *cluster.Cluster) (time.Duration, error) {
	file := filepath.Join(b.folder, "job.yaml")
	text := fmt.Sprintf("job: many\ncopies: %d\nresources: {cpus: 0.001, mem: 1MiB}\nrun: {command: [%s]}\n", jobs, program)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err := c.Do(ctx, "deploy", "--wait", file)
	return time.Since(began), err
}

// runBare measures what the processes of manyJobs take of the machine, if nobody places,
// confines, watches or remembers them.
func runBare(ctx context.Context, _ *cluster.Cluster) (time.Duration, error) {
	began := time.Now()
	for range jobs {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		process, err := os.StartProcess(program, []string{program}, &os.ProcAttr{})
		if err != nil {
			return 0, err
		}
		state, err := process.Wait()
		if err == nil && !state.Success() {
			err = fmt.Errorf("%s: %s", program, state)
		}
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// memory is what a part of the cluster takes.
type memory struct {
	part       string
	bar, bytes int64
}

// measureMemory measures the parts of a cluster that has had work and rests.
func (b *bench) measureMemory(ctx context.Context, c *cluster.Cluster) ([]memory, error) {
	b.say("memory, after %s of rest", idleFor)
	if err := pause(ctx, idleFor); err != nil {
		return nil, err
	}
	parts := []memory{{part: "master", bar: 60_000_000}, {part: "agent", bar: 30_000_000}, {part: "supervisor", bar: 15_000_000}}
	for i := range parts {
		p, err := c.Part(parts[i].part)
		if err != nil {
			return nil, err
		}
		parts[i].bytes = p.RSS
	}
	return parts, nil
}
