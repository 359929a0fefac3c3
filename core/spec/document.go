package spec

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Limits of a spec.
const (
	instancesMax = 100_000
	poolsMax     = 100
	retriesMax   = 100
	lostMin      = time.Second
	lostMax      = 30 * day
	timeoutMin   = time.Second
	timeoutMax   = 365 * day
	logFilesMax  = 1000
)

// documentRule is the rule for a whole spec.
func documentRule() rule[Spec] {
	var fields []field[Spec]
	fields = append(fields, kindFields()...)
	fields = append(fields, scheduleFields()...)
	fields = append(fields, sizeFields()...)
	fields = append(fields, taskFields()...)
	fields = append(fields, changeFields()...)
	return record(defaults(0), fields...)
}

// kindFields are the fields of which a document has one.
func kindFields() []field[Spec] {
	docs := []string{
		"The name of a program that is kept running in n instances.",
		"The name of a program that is run to completion, in n copies.",
		"The name of a program that is kept running once on each agent that fits.",
		"The name of a job that is run on a schedule.",
	}
	var fields []field[Spec]
	for i, k := range allKinds() {
		fields = append(fields, field[Spec]{
			name: k.String(), doc: docs[i], replaces: true,
			only: kinds{k}, why: "a document asks for one service, job, daemon or cron",
			rule: at(optional(nameRule[id.Service]()), func(s *Spec) *id.Service { return &s.Name }),
		})
	}
	return fields
}

func scheduleFields() []field[Spec] {
	const why = "only a cron has a schedule"
	only := kinds{Cron}
	return []field[Spec]{
		{
			name: "schedule", doc: "When to run: five fields as in crontab (Sunday is 0 or 7), or @hourly, @daily, @weekly, @monthly, @yearly, @every 10m.",
			only: only, why: why,
			rule: at(lineRule(), func(s *Spec) *string { return &s.Schedule.Line }),
		},
		{
			name: "timezone", doc: "The time zone of the schedule, such as Europe/Berlin; without it, UTC.",
			only: only, why: why,
			rule: at(zoneRule(), func(s *Spec) *string { return &s.Schedule.Timezone }),
		},
		{
			name: "overlap", doc: "What to do when the last run has not ended: leave this one out, run both (up to 100 runs of a cron are open at a time), or stop the old one.",
			only: only, why: why,
			rule: at(choiceRule(Skip, Allow, Replace), func(s *Spec) *Overlap { return &s.Schedule.Overlap }),
		},
	}
}

// sizeFields tell how many tasks there are and what they take.
func sizeFields() []field[Spec] {
	pools := func(s *Spec) *[]id.Pool { return &s.Pools }
	instances := func(s *Spec) *int { return &s.Instances }
	return []field[Spec]{
		{
			name: "pool", doc: "The pool to draw from; without one, no pool is a bound.", replaces: true,
			rule: at(single(nameRule[id.Pool](), ""), pools),
		},
		{
			name: "pools", doc: "The pools to draw from; of those with room, the highest priority gives.", replaces: true,
			rule: at(list(nameRule[id.Pool](), "", poolsMax), pools),
		},
		{
			name: "user", doc: "Whose share of the pool the tasks take while jobs wait; those that name nobody share one. This is not run.user.",
			only: finite(), why: "only jobs and crons wait by the shares of users",
			rule: at(ownerRule(), func(s *Spec) *string { return &s.User }),
		},
		{
			name: "instances", doc: "How many to keep running.",
			only: kinds{Service}, why: "a job and a cron have copies, and a daemon runs once on each agent that fits",
			rule: at(countRule(0, instancesMax), instances),
		},
		{
			name: "copies", doc: "How many to run to completion, each time.",
			only: finite(), why: "a service has instances, and a daemon runs once on each agent that fits",
			rule: at(countRule(1, instancesMax), instances),
		},
		{
			name: "resources", doc: "What one task takes, besides its ports: cpus, mem, disk, gpus and custom types.", replaces: true,
			rule: at(resourcesRule(defaultResources()), func(s *Spec) *resource.Vector { return &s.Resources }),
		},
	}
}

// IsUser reports whether a spec can have that user.
func IsUser(name string) bool { return isWord(name, "_.@-") && len(name) <= id.LengthMax }

// ownerRule returns a rule for the name of somebody who has a share.
func ownerRule() rule[string] {
	check := func(text string) error {
		if !IsUser(text) {
			return errForm
		}
		return nil
	}
	l := textLeaf("a name as in anna or anna@example.com", "^[A-Za-z0-9_.@-]+$", check)
	l.shape.numbers = true
	return optional(l.quoting())
}

// taskFields tell what a task is.
func taskFields() []field[Spec] {
	const why = "nobody waits for it to be ready"
	return []field[Spec]{
		{
			name: "run", doc: "The program.", replaces: true, required: true,
			rule: at(runRule(), func(s *Spec) *Run { return &s.Run }),
		},
		{
			name: "ports", doc: "The ports of one task, by name.", replaces: true,
			rule: at(list(portRule(), Port{}, portsMax).identified("name"), func(s *Spec) *[]Port { return &s.Ports }),
		},
		{
			name: "ready", doc: "Tells when an instance may serve. With a route, the default is to connect to the route's port.",
			only: kept(), why: why, replaces: true,
			rule: at(probeRule(defaultReady()), func(s *Spec) *Probe { return &s.Ready }),
		},
		{
			name: "alive", doc: "Tells when a program hangs and must be started again.", replaces: true,
			rule: at(probeRule(defaultAlive()), func(s *Spec) *Probe { return &s.Alive }),
		},
	}
}

// changeFields tell how tasks are reached, placed and replaced.
func changeFields() []field[Spec] {
	routes := func(s *Spec) *[]Route { return &s.Routes }
	const unrouted = "requests go to what is kept running"
	const unending = "what is kept running is started again however often it ends"
	return []field[Spec]{
		{
			name: "route", doc: "The way for requests to reach it.", only: kept(), why: unrouted,
			rule: at(single(routeRule(), defaultRoute()), routes),
		},
		{
			name: "routes", doc: "Several ways for requests to reach it.", only: kept(), why: unrouted,
			rule: at(list(routeRule(), defaultRoute(), routesMax).identified("host", "path").orNumbered("port"), routes),
		},
		{
			name: "deploy", doc: "How a new revision replaces the one before.",
			rule: at(deployRule(), func(s *Spec) *Deploy { return &s.Deploy }),
		},
		{
			name: "placement", doc: "Where tasks may run.",
			rule: at(placementRule(), func(s *Spec) *Placement { return &s.Placement }),
		},
		{
			name: "logs", doc: "What is kept of a task's output.",
			rule: at(logsRule(), func(s *Spec) *Logs { return &s.Logs }),
		},
		{
			name: "on_lost", doc: "What happens when a task's agent is silent.",
			rule: at(lostRule(), func(s *Spec) *OnLost { return &s.OnLost }),
		},
		{
			name: "on_partition", replaces: true,
			doc: "What an agent does with a task when it is out of touch with all masters: let it run, or have it stopped " +
				"before a master may replace it, so that two never run at once.",
			rule: at(choiceRule(RunOn, EndOff), func(s *Spec) *OnPartition { return &s.OnPartition }),
		},
		{
			name: "retries", doc: "How many more tasks a copy gets after the first that failed.",
			only: finite(), why: unending,
			rule: at(countRule(0, retriesMax), func(s *Spec) *int { return &s.Retries }),
		},
		{
			name: "timeout", doc: "A task that runs for longer is stopped and has failed; without it, there is no bound.",
			only: finite(), why: "it is meant to run without end",
			rule: at(optional(durationRule(timeoutMin, timeoutMax)), func(s *Spec) *time.Duration { return &s.Timeout }),
		},
	}
}

func logsRule() rule[Logs] {
	size := leaf[int64]{
		want:  "a size from 1KiB to 1TiB such as 10MiB",
		shape: shape{form: textForm, numbers: true},
		parse: func(text string) (int64, error) {
			q, err := resource.Parse(resource.Mem, text)
			if err != nil || q.Amount() < 1<<10 || q.Amount() > 1<<40 {
				return 0, errForm
			}
			return q.Amount(), nil
		},
		print: func(bytes int64) string { return resource.Format(resource.Mem, resource.Scalar(bytes)) },
	}.rule()
	return record(
		defaultLogs(),
		field[Logs]{
			name: "size", doc: "The size of one file.",
			rule: at(size, func(l *Logs) *int64 { return &l.SizeBytes }),
		},
		field[Logs]{
			name: "files", doc: "How many files are kept of each of stdout and stderr.",
			rule: at(countRule(1, logFilesMax), func(l *Logs) *int { return &l.Files }),
		},
	)
}

func lostRule() rule[OnLost] {
	return record(
		OnLost{},
		field[OnLost]{
			name: "after", noDefault: true,
			doc:  "Then the task is replaced: by default after 6s for services and daemons, 1m for jobs and crons.",
			rule: at(durationRule(lostMin, lostMax), func(l *OnLost) *time.Duration { return &l.After }),
		},
	)
}

// single returns a rule that reads one item where several could be. It is never
// written: the list is.
func single[T any](item rule[T], start T) rule[[]T] {
	return rule[[]T]{
		shape: item.shape,
		read: func(d *decoder, field string, n Node, into *[]T) {
			value := start
			item.read(d, field, n, &value)
			*into = []T{value}
		},
		tree: func(Kind, *[]T) (Node, bool) { return Node{}, false },
	}
}

// identified returns the rule for a list of records that these fields tell apart.
func (r rule[T]) identified(fields ...string) rule[T] {
	r.shape.identity = fields
	return r
}

// orNumbered returns the rule for a list of records that this field tells apart
// where it is a number.
func (r rule[T]) orNumbered(field string) rule[T] {
	r.shape.numbered = field
	return r
}
