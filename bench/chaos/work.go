package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// workWord makes this program a copy of a job.
const workWord = "work"

// doneWord begins the line by which a copy says that it has done its work.
const doneWord = "done "

// beWorker is the program of the jobs: it writes down its start, works for a while,
// writes down that it has done its work, and ends as it was told to. It also writes
// down when its attempt had been started before, or its copy runs a second time beside it.
func beWorker(arguments []string) error {
	flags := flag.NewFlagSet(workWord, flag.ContinueOnError)
	folder := flags.String("folder", "", "`folder` for what is written down")
	takes := flags.Duration("for", 0, "how long the work takes")
	fails := flags.Bool("fail", false, "end with code 1")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	who := os.Getenv("ALOFT_TASK_ID") + "." + os.Getenv("ALOFT_ATTEMPT")
	journal, err := openJournal(*folder, who)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(journal, onWord+os.Getenv("ALOFT_AGENT")); err != nil {
		return err
	}
	work := fmt.Sprintf("%s %s %s", os.Getenv("ALOFT_SERVICE"), os.Getenv("ALOFT_RUN"), os.Getenv("ALOFT_COPY"))
	if err := takeAlone(filepath.Join(*folder, work+lockSuffix), filepath.Join(*folder, who)); err != nil {
		return err
	}
	time.Sleep(*takes)
	if _, err := fmt.Fprintf(journal, "%s%s %s\n", doneWord, time.Now().Format(time.RFC3339Nano), work); err != nil {
		return err
	}
	if *fails {
		return errors.New("told to fail")
	}
	return nil
}

// work has one job after the other run, and holds each to what it was told, until ctx
// is done. What is left of the last one is stopped.
func (o *operator) work(ctx context.Context) {
	for n := 1; pause(ctx, o.between(500*time.Millisecond, 4*time.Second)); n++ {
		o.service = fmt.Sprintf("job-%d", n)
		o.job(ctx)
		o.do(context.WithoutCancel(ctx), "remove a job", []int{codeDone, codeUnknown}, "stop", o.service, "--remove") // unknown: by a try without an answer
	}
}

// job has one job run. Those that should come to their end may try again as often as
// faults make them.
func (o *operator) job(ctx context.Context) {
	const copiesMax = 4
	copies, takes := 1+o.random.IntN(copiesMax), o.between(100*time.Millisecond, 4*time.Second)
	switch dice := o.random.IntN(10); {
	case dice < 6:
		if o.do(ctx, "job", []int{codeDone}, "deploy", "--wait", o.jobSpec(copies, 20, takes, "")) == codeDone {
			o.tally.finished(o.service, copies)
		}
	case dice < 8:
		o.do(ctx, "job that fails", []int{codeFailed}, "deploy", "--wait", o.jobSpec(1, 1, takes, ", --fail"))
	default:
		o.do(ctx, "job that is stopped", []int{codeDone}, "deploy", o.jobSpec(copies, 20, time.Hour, ""))
		pause(ctx, takes)
	}
}

// jobSpec writes the spec file of a job.
func (o *operator) jobSpec(copies, retries int, takes time.Duration, more string) string {
	text := fmt.Sprintf(`job: %s
copies: %d
retries: %d
resources: {cpus: 0.05, mem: 32MiB}
pool: all
run: {command: [%q, work, --folder, %q, --for, %s%s]}
deploy: {grace: 1s}
`, o.service, copies, retries, o.self, filepath.Join(o.folder, jobsFolder), takes, more)
	file := filepath.Join(o.folder, "job.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		o.tally.broken("writing a spec: %v", err)
	}
	return file
}

// finished notes that a job was said to have succeeded.
func (t *tally) finished(job string, copies int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.jobs == nil {
		t.jobs = make(map[string]int)
	}
	t.jobs[job] = copies
}
