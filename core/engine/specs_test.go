package engine_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// web returns the spec of a service whose instances do as they are told.
func web(name id.Service, does string, instances int, edits ...func(*spec.Spec)) engine.Submission {
	s := &spec.Spec{
		Kind: spec.Service, Name: name, Instances: instances,
		Resources: vector(250, 64<<20),
		Run:       spec.Run{Command: []string{does}},
		Ports:     []spec.Port{{Name: "http"}},
		Routes:    []spec.Route{{Host: string(name) + ".localhost", Path: "/", Port: "http"}},
		Deploy: spec.Deploy{
			Surge: spec.Amount{Count: 1}, Settle: 2 * time.Second, Deadline: time.Minute, Drain: 30 * time.Second,
			Grace: 10 * time.Second, Failures: 2,
		},
		OnLost: spec.OnLost{After: 30 * time.Second},
	}
	for _, edit := range edits {
		edit(s)
	}
	return engine.Submission{Spec: s, Source: "service: " + string(name)}
}

func vector(cpus, mem int64) resource.Vector {
	return resource.Vector{}.With(resource.CPUs, resource.Scalar(cpus)).With(resource.Mem, resource.Scalar(mem))
}

// version makes a revision differ from others in its program.
func version(n int) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Run.Env = map[string]string{"VERSION": fmt.Sprint(n)} }
}

// job returns the spec of a job.
func job(name id.Service, does string, copies int, edits ...func(*spec.Spec)) engine.Submission {
	s := &spec.Spec{
		Kind: spec.Job, Name: name, Instances: copies, Resources: vector(250, 64<<20),
		Run:    spec.Run{Command: []string{does}},
		Deploy: spec.Deploy{Grace: 10 * time.Second},
		OnLost: spec.OnLost{After: 30 * time.Second},
	}
	for _, edit := range edits {
		edit(s)
	}
	return engine.Submission{Spec: s, Source: "job: " + string(name)}
}

// cron returns the spec of a cron that runs every minute.
func cron(name id.Service, does string, overlap spec.Overlap, edits ...func(*spec.Spec)) engine.Submission {
	edits = append(edits, func(s *spec.Spec) {
		s.Kind, s.Schedule = spec.Cron, spec.Schedule{Line: "* * * * *", Overlap: overlap}
	})
	return job(name, does, 1, edits...)
}

// daemon returns the spec of a daemon.
func daemon(name id.Service, does string, edits ...func(*spec.Spec)) engine.Submission {
	edits = append(edits, func(s *spec.Spec) { s.Kind, s.Routes = spec.Daemon, nil })
	return web(name, does, 0, edits...)
}

func (w *world) deploy(submissions ...engine.Submission) {
	w.Helper()
	w.ask(engine.Deploy{Specs: submissions})
}

// status returns the tasks of a service as one line.
func (w *world) status(name id.Service) string {
	live, _ := w.engine.Tasks(name)
	var parts []string
	for _, t := range live {
		parts = append(parts, fmt.Sprintf("%s %s", t.ID, t.Status.State))
	}
	return strings.Join(parts, ", ")
}
