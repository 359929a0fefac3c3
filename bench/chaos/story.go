package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The services. Requests flow to those that have a route. Of alone, which nobody
// changes, there may be no two instances at once; everywhere is a daemon.
const (
	web, books, side = "web", "books", "side"
	alone            = "alone"
	everywhere       = "everywhere"
	poolOfAll        = "all"

	readyWithin = time.Minute
)

func routedServices() []string { return []string{web, books} }

func changedServices() []string { return []string{web, books, side} }

func allServices() []string { return append(changedServices(), alone, everywhere) }

// story is one run.
type story struct {
	opts   options
	parts  *parts
	self   string
	out    io.Writer
	groups []string // names of the agents' control groups

	api   *api
	probe *probe
	book  book
	tally tally
	began time.Time
	outMu sync.Mutex
}

func newStory(opts options, all *parts, self string, out io.Writer) *story {
	a := newAPI(all.apis())
	return &story{opts: opts, parts: all, self: self, out: out, api: a, probe: &probe{api: a, parts: all}}
}

// tell prints a line.
func (s *story) tell(format string, arguments ...any) {
	s.outMu.Lock()
	defer s.outMu.Unlock()
	fmt.Fprintf(s.out, format+"\n", arguments...)
}

// play runs the cluster from its start to its end, and tells what it cost.
func (s *story) play(ctx context.Context) error {
	s.tell("seed %d: %d masters, %d agents, %d routers, %d requests/s for %s", s.opts.seed,
		mastersCount, agentsCount, routersCount, s.opts.rate, s.opts.duration)
	if err := s.parts.start(ctx); err != nil {
		return err
	}
	operators, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	load := startTraffic(s.parts.routers, hostsOf(routedServices()), s.opts.rate)
	s.began = time.Now()
	s.disturb(ctx, operators)
	interrupted := context.Cause(ctx)
	ctx = context.WithoutCancel(ctx)

	look := inspector{api: s.api, parts: s.parts}
	rested := look.rest(ctx)
	took := time.Since(s.began) - s.opts.duration
	requests := load.stop()
	var agreed error
	if rested == nil {
		s.tell("\nat rest %s after the last fault was due", took.Round(100*time.Millisecond))
		agreed = look.agree(ctx)
		s.tell("check at rest: %s", found(agreed, "the books of partitions and pools, the tasks, the processes of all machines and the tables of both routers say the same"))
	}
	cleared := errors.Join(s.keepEvents(ctx), s.clear(ctx, operators[0], look))
	s.tell("check at the end: %s", found(cleared, "no claim, no process and no control group is left"))
	v, judged := judge(requests, s.book.all(), s.parts.folder)
	done, err := s.judgeJobs()
	v.laws, judged = append(v.laws, done...), errors.Join(judged, err)
	summed := s.sumUp(requests, v)
	return errors.Join(interrupted, rested, agreed, cleared, judged, summed)
}

// prepare waits for the cluster and deploys what runs on it.
func (s *story) prepare(ctx context.Context) ([]*operator, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	err := until(ctx, "the cluster is there", func() (bool, error) {
		agents, err := s.api.agents(ctx)
		_, masters, _ := s.api.leader(ctx)
		connected := s.api.isConnected(ctx, s.parts.routers[0].Name()) && s.api.isConnected(ctx, s.parts.routers[1].Name())
		return masters == mastersCount && len(agents) == agentsCount && connected, err
	})
	if err != nil {
		return nil, err
	}
	var operators []*operator
	for i, name := range append(changedServices(), everywhere) {
		operators = append(operators, s.operator(i, name))
	}
	last := operators[len(operators)-1]
	if err := s.first(ctx, last); err != nil {
		return nil, err
	}
	for _, o := range operators[:len(operators)-1] {
		if err := o.begin(ctx); err != nil {
			return nil, err
		}
	}
	s.groups = groupsOf(s.parts.agents) // the daemon runs on all
	return operators, nil
}

// operator returns the one of that number, who changes a service.
func (s *story) operator(number int, service string) *operator {
	const first = 10 // of their sources of randomness
	return &operator{
		aloft: s.parts.masters[0].argv[0], self: s.self, folder: s.parts.folder, service: service,
		routed: slices.Contains(routedServices(), service), masters: s.parts.apis(), tally: &s.tally, random: s.random(first + number),
	}
}

// judgeJobs holds what the copies of jobs have done to what was told of them.
func (s *story) judgeJobs() (laws []string, err error) {
	done, laws, err := readJobs(s.parts.folder)
	if err != nil {
		return nil, err
	}
	s.tell("copies of jobs that did their work: %d, of %d jobs that were said to have succeeded", len(done), len(s.tally.jobs))
	return append(laws, done.judge(s.tally.jobs, s.book.all())...), nil
}

// found tells what a check has found.
func found(problems error, good string) string {
	if problems == nil {
		return good
	}
	return problems.Error()
}

// first makes the pool, and the services that nobody changes.
func (s *story) first(ctx context.Context, o *operator) error {
	file := filepath.Join(s.parts.folder, "unchanged.yaml")
	text := fmt.Sprintf(`daemon: %s
resources: {cpus: 0.01, mem: 16MiB}
run: {command: [sleep, "1000000"]}
---
service: %s
instances: 1
resources: {cpus: 0.05, mem: 64MiB}
pool: all
run:
  command: [%q, instance, --listen, "${ALOFT_HOST}:${PORT_HTTP}", --journals, %q, --alone, %q]
ports: [http]
ready: {http: /ready}
on_partition: stop
on_lost: {after: 12s}
deploy: {surge: 0, unavailable: 1, settle: 500ms, drain: 1s, grace: 1s}
`, everywhere, alone, s.self, filepath.Join(s.parts.folder, "journals"), filepath.Join(s.parts.folder, "alone"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"pools", "create", poolOfAll, "--quantity", "cpus=8"},
		{"pools", "create", probePool, "--quantity", "cpus=1"},
		{"deploy", file},
	} {
		if code, said, err := o.command(ctx, arguments...); err != nil || code != codeDone {
			return fmt.Errorf("aloft %s ended with code %d: %s, %w", strings.Join(arguments, " "), code, said, err)
		}
	}
	return nil
}

// random returns the source of one actor, so that none depends on the pace of another.
func (s *story) random(actor int) *rand.Rand {
	return rand.New(rand.NewPCG(s.opts.seed, uint64(actor))) //nolint:gosec // a seed is what it is for
}

// disturb runs faults and operators for as long as the run is to take, and returns
// when the last fault is mended and the last command has ended.
func (s *story) disturb(ctx context.Context, operators []*operator) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.duration)
	defer cancel()
	probing, end := context.WithCancel(context.WithoutCancel(ctx))
	var probes, actors sync.WaitGroup
	defer probes.Wait()
	defer end()
	probes.Go(func() { s.probe.run(probing) })
	for _, l := range s.lanes() {
		actors.Go(func() { l.run(ctx) })
	}
	for _, o := range operators[:len(operators)-1] {
		actors.Go(func() { o.run(ctx) })
	}
	actors.Go(func() { operators[len(operators)-1].empty(ctx, s.parts.agents) })
	actors.Go(func() { s.operator(len(operators), "").work(ctx) })
	actors.Wait()
}

// lanes are the three roles that fail independently of each other.
func (s *story) lanes() []*lane {
	wanted := regexp.MustCompile(s.opts.only)
	one := func(actor int, role string, list []*part, kinds []kind) *lane {
		kinds = slices.DeleteFunc(kinds, func(k kind) bool { return !wanted.MatchString(role + " " + k.name) })
		l := &lane{parts: list, kinds: kinds, random: s.random(actor), api: s.api, probe: s.probe, book: &s.book, told: s.tellFault}
		l.target = func(context.Context) (*part, bool) { return list[l.random.IntN(len(list))], false }
		l.ended = func(a attempt) bool { return hasWorked(s.parts.folder, a) }
		return l
	}
	masters := one(1, "master", s.parts.masters, masterKinds())
	masters.target = func(ctx context.Context) (*part, bool) { return s.chooseMaster(ctx, masters.random) }
	masters.back = s.masterIsBack
	many := newBlackout(s.api, s.parts.masters, s.parts.agents)
	agents := one(2, "agent", s.parts.agents, agentKinds(s.parts.masters, s.parts.routers, many))
	agents.back = s.agentIsBack
	routers := one(3, "router", s.parts.routers, routerKinds(s.parts.masters))
	routers.back = func(ctx context.Context, r *part) bool {
		return r.isReady(ctx, adminPort) && s.api.isConnected(ctx, r.Name())
	}
	return slices.DeleteFunc([]*lane{masters, agents, routers}, func(l *lane) bool { return len(l.kinds) == 0 })
}

// chooseMaster takes the leader more often than not.
func (s *story) chooseMaster(ctx context.Context, random *rand.Rand) (p *part, leads bool) {
	const leaders, all = 2, 3
	wanted := random.IntN(all) < leaders
	at := random.IntN(len(s.parts.masters) - 1)
	leader, _, err := s.api.leader(ctx)
	if err != nil || leader == "" {
		return nil, false
	}
	for _, m := range s.parts.masters {
		if (m.Name() == leader) != wanted {
			continue
		}
		if wanted || at == 0 {
			return m, wanted
		}
		at--
	}
	return nil, false
}

// masterIsBack reports whether a master takes calls and is one of three again.
func (s *story) masterIsBack(ctx context.Context, m *part) bool {
	_, masters, err := s.api.leader(ctx)
	return err == nil && masters == mastersCount && m.isReady(ctx, apiPort)
}

func (s *story) agentIsBack(ctx context.Context, a *part) bool {
	agents, err := s.api.agents(ctx)
	state := agents[a.Name()]
	return err == nil && (state == "ready" || strings.HasPrefix(state, "drain"))
}

// keepEvents writes the cluster's own story to a file beside the logs.
func (s *story) keepEvents(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	file, err := os.Create(filepath.Join(s.parts.folder, "events.txt"))
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, s.parts.masters[0].argv[0], "events", "--addr", strings.Join(s.parts.apis(), ","))
	command.Stdout, command.Stderr = file, file
	return errors.Join(command.Run(), file.Close())
}

// clear ends everything that runs on the cluster, and finds what is left of it.
func (s *story) clear(ctx context.Context, o *operator, look inspector) error {
	var problems []error
	for _, name := range allServices() {
		if code, said, err := o.command(ctx, "stop", name); err != nil || code != codeDone {
			problems = append(problems, fmt.Errorf("aloft stop %s ended with code %d: %s, %v", name, code, said, err))
		}
	}
	problems = append(problems, look.empty(ctx), look.idle(ctx))
	for _, g := range leftGroups(s.groups) {
		problems = append(problems, errors.New("left behind: control group "+g))
	}
	return errors.Join(problems...)
}

// hostsOf returns the hosts of services' routes.
func hostsOf(services []string) []string {
	var hosts []string
	for _, name := range services {
		hosts = append(hosts, hostOf(name))
	}
	return hosts
}
