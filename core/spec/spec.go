// Package spec says what an operator asks for: a service, job, daemon or cron.
//
// A Spec is a value. Decode makes one from a document and tells every problem
// at once, each with its line; a Spec that Decode returns is complete, with
// every default filled in, and valid. Compare tells which differences between
// two revisions need new instances.
package spec

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Kind tells how long a spec's tasks live and how many there are.
type Kind uint8

// The kinds.
const (
	Service Kind = iota + 1 // n instances, kept running
	Job                     // n copies, each run to completion
	Daemon                  // one instance on each agent that fits, kept running
	Cron                    // a job at each time of a schedule
)

// Spec is one revision of what is asked for. Treat it as immutable: the engine,
// agents and clients share it.
type Spec struct {
	Kind        Kind
	Name        id.Service
	Pools       []id.Pool       // those it may draw from, any order; empty: not bounded by a pool
	User        string          // of a job or cron: whose share of its pool it takes; "" is a user as any other
	Instances   int             // of a service; copies of a job or of one run of a cron; 0 for a daemon
	Resources   resource.Vector // what one task takes, without its ports
	Run         Run
	Ports       []Port
	Ready       Probe
	Alive       Probe
	Routes      []Route
	Deploy      Deploy
	Placement   Placement
	Logs        Logs
	OnLost      OnLost
	OnPartition OnPartition
	Retries     int           // of a job's copy or a cron's: new tasks after the first that failed
	Timeout     time.Duration // of a job's copy or a cron's task: it is stopped and failed after this; 0: none
	Schedule    Schedule      // of a cron
}

// Run is the program of a task.
type Run struct {
	Command []string          // program and arguments; ${NAME} is replaced from the task's environment
	Shell   string            // a line for /bin/sh -c, instead of Command
	Env     map[string]string // added to the task's environment; ${NAME} as in Command
	Dir     string            // working directory inside the sandbox, "" is its top
	User    string            // "" is the agent's own
	Fetch   []Artifact        // put into the sandbox before the start
}

// Artifact is a file to fetch.
type Artifact struct {
	URL        string // http, https or file
	SHA256     string // 64 hex digits, or "" to accept any content
	Dest       string // path inside the sandbox; "" is its top
	Unpack     bool   // tar.gz, tgz and zip: unpack into Dest; default by the URL's ending
	Executable bool   // a plain file gets mode 0755
}

// Port is one port of a task, given to it as PORT_<NAME>.
type Port struct {
	Name   string
	Number int // 0: any free one of the agent's
}

// ProbeKind tells how a probe asks.
type ProbeKind uint8

// The kinds of probe.
const (
	NoProbe ProbeKind = iota // a running process is enough
	HTTPProbe
	TCPProbe
	GRPCProbe
	CommandProbe
)

// Probe asks an instance how it is.
type Probe struct {
	Kind     ProbeKind
	Path     string   // of an http probe
	Service  string   // of a grpc probe; may be empty
	Command  []string // of a command probe; exit 0 is good
	Port     string   // a name of Ports
	Every    time.Duration
	Timeout  time.Duration
	Failures int // this many in a row turn good into bad
}

// Route is a way for requests to reach a service, or for connections.
type Route struct {
	Host   string // "" is any; "*.example.com" is any name one label longer
	Path   string // prefix on a segment border, begins with /
	Listen int    // the port of the routers that is for this route alone, whatever is spoken there; 0: Host and Path tell
	Port   string // a name of Ports
	Hold   time.Duration
}

// IsTCP reports whether the route is for connections: it has no host and path.
func (r Route) IsTCP() bool { return r.Listen != 0 }

// Amount is a count or a share of the instances.
type Amount struct {
	Count   int
	Percent int // when not 0, Count is 0
}

// OnFailure tells what a failed deployment does.
type OnFailure uint8

// What a failed deployment does.
const (
	Rollback OnFailure = iota // goes back to the revision before
	Pause                     // stays as it is and waits for an operator
)

// Deploy is how a new revision replaces the one before.
type Deploy struct {
	Surge       Amount        // instances above the wished number; rounded up
	Unavailable Amount        // instances that may be missing; rounded down
	Settle      time.Duration // how long an instance must stay ready before it counts
	Deadline    time.Duration // without progress for this long the deployment has failed
	Drain       time.Duration // the longest wait for requests in flight before a stop
	Grace       time.Duration // from SIGTERM to SIGKILL
	Failures    int           // failed starts of the new revision in a row that fail the deployment
	OnFailure   OnFailure
}

// Operator compares an agent's attribute with values.
type Operator uint8

// The operators of a constraint.
const (
	In Operator = iota + 1
	NotIn
	Exists
	Missing
)

// Constraint is a condition on an agent's attributes.
type Constraint struct {
	Attribute string
	Operator  Operator
	Values    []string // sorted
}

// Placement is where tasks may run.
type Placement struct {
	Where  []Constraint // all must hold
	Spread []string     // attributes to spread over, the most important first
}

// Logs bounds what is kept of a task's output.
type Logs struct {
	SizeBytes int64 // of one file
	Files     int   // of one stream
}

// OnLost is what happens when a task's agent is silent.
type OnLost struct {
	After time.Duration // then the task is replaced
}

// OnPartition is what an agent does with a task when it is out of touch with all
// masters.
type OnPartition uint8

// What an agent does with a task when it is out of touch with all masters.
const (
	RunOn  OnPartition = iota // lets it run
	EndOff                    // has ended it before a master may replace it
)

// LeaseMargin is for how long a task that is ended off has ended before a master
// may replace it: for what the kernel takes to kill, and for clocks that differ.
const LeaseMargin = time.Second

// String returns the word of spec files, as in "run".
func (p OnPartition) String() string {
	if p == EndOff {
		return "stop"
	}
	return "run"
}

// Overlap tells what a cron does when its last run has not ended.
type Overlap uint8

// What a cron does when its last run has not ended.
const (
	Skip    Overlap = iota // leave this time out
	Allow                  // run both
	Replace                // stop the old run first
)

// Schedule is when a cron runs.
type Schedule struct {
	Line     string // five fields, or @hourly, @daily, @weekly, @monthly, @every 10m
	Timezone string // an IANA name; "" is UTC
	Overlap  Overlap
}

// Ported reports whether s has a port of that name.
func (s *Spec) Ported(name string) bool {
	for _, p := range s.Ports {
		if p.Name == name {
			return true
		}
	}
	return false
}

// RunsToCompletion reports whether a task of s ends when its program ends.
func (s *Spec) RunsToCompletion() bool { return s.Kind.RunsToCompletion() }
