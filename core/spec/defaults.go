package spec

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// New returns the spec of a document that says no more than its kind and name.
// It lacks a program to be complete.
func New(k Kind, name id.Service) *Spec {
	s := defaults(k)
	s.Name = name
	return &s
}

// defaults returns what a spec of that kind is where its document is silent.
func defaults(k Kind) Spec {
	s := Spec{
		Kind:      k,
		Instances: 1,
		Resources: defaultResources(),
		Deploy:    defaultDeploy(),
		Logs:      defaultLogs(),
		OnLost:    OnLost{After: 6 * time.Second},
	}
	if k == Daemon {
		s.Instances = 0
	}
	if s.RunsToCompletion() {
		s.Deploy = Deploy{Grace: s.Deploy.Grace}
		s.OnLost.After = time.Minute
	}
	return s
}

func defaultResources() resource.Vector {
	var v resource.Vector
	return v.With(resource.CPUs, resource.Scalar(cpuMillis)).With(resource.Mem, resource.Scalar(memoryBytes))
}

func defaultDeploy() Deploy {
	return Deploy{
		Surge:    Amount{Count: 1},
		Settle:   2 * time.Second,
		Deadline: 5 * time.Minute,
		Drain:    30 * time.Second,
		Grace:    10 * time.Second,
		Failures: 2,
	}
}

func defaultLogs() Logs { return Logs{SizeBytes: 10 << 20, Files: 5} }

func defaultReady() Probe {
	return Probe{Every: time.Second, Timeout: time.Second, Failures: 3}
}

func defaultAlive() Probe {
	return Probe{Every: 10 * time.Second, Timeout: time.Second, Failures: 3}
}

// complete fills in the defaults that depend on what the document says.
func (d *decoder) complete(s *Spec) {
	// Without a probe a program would get requests before it listens.
	if s.Ready.Kind == NoProbe && len(s.Routes) > 0 && !d.given("ready") {
		s.Ready = defaultReady()
		s.Ready.Kind = TCPProbe
		s.Ready.Port = s.Routes[0].Port
	}
	// Two instances on one agent cannot both have a port with a number.
	if s.Kind == Daemon && s.fixedPort() != 0 && !d.given("deploy.surge") && !d.given("deploy.unavailable") {
		s.Deploy.Surge, s.Deploy.Unavailable = Amount{}, Amount{Count: 1}
	}
}
