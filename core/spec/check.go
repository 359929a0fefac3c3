package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// check reports what is wrong between fields that are right by themselves, and
// fills in the defaults that depend on others.
func (d *decoder) check(s *Spec, document Node) {
	for _, pair := range [][2]string{{"pool", "pools"}, {"route", "routes"}} {
		if d.given(pair[0]) && d.given(pair[1]) {
			d.problemAt(pair[1], "stands beside %s; want one of the two", pair[0])
		}
	}
	distinct(d, "pools", s.Pools, func(name id.Pool) string { return string(name) })
	distinct(d, "placement.spread", s.Placement.Spread, func(name string) string { return name })
	d.checkRun(s)
	d.checkPorts(s)
	d.checkRoutes(s)
	d.checkProbe(s, "ready", &s.Ready)
	d.checkProbe(s, "alive", &s.Alive)
	d.complete(s)
	d.checkDeploy(s)
	d.checkPartition(s)
	d.checkReferences(s)
	d.checkSchedule(s, document)
}

// touchMin is how long an agent may be out of touch before it begins to stop what
// is to be stopped: a new leader has begun by then, and is found.
const touchMin = 4 * time.Second

// checkPartition reports tasks that would be stopped at every hiccup: to stop one
// takes its grace, and all of it must be over before it is given up.
func (d *decoder) checkPartition(s *Spec) {
	least := s.Deploy.Grace + LeaseMargin + touchMin
	if s.OnPartition != EndOff || s.OnLost.After >= least {
		return
	}
	field := "on_partition"
	if d.given("on_lost.after") {
		field = "on_lost.after"
	}
	d.problemAt(field, "a grace of %s and on_lost.after of %s leave no time to stop; want on_lost: {after: %s} or more, or a shorter deploy.grace",
		formatDuration(s.Deploy.Grace), formatDuration(s.OnLost.After), formatDuration(least))
}

// checkRun reports a run without a program, or with two.
func (d *decoder) checkRun(s *Spec) {
	command, shell := d.given("run.command"), d.given("run.shell")
	switch {
	case command && shell:
		d.problemAt("run.shell", "stands beside command; want one of the two")
	case !command && !shell && d.given("run"):
		d.problemAt("run", "has no program; want command, as in [./web, --verbose], or shell")
	case command && len(s.Run.Command) > 0 && s.Run.Command[0] == "":
		d.problemAt("run.command", "the program has no name")
	}
}

// checkReferences reports each ${NAME} that no task could have a value for.
func (d *decoder) checkReferences(s *Spec) {
	known := sortedKeys(s.Run.Env)
	for _, p := range s.Ports {
		known = append(known, p.Variable())
	}
	commands := map[string][]string{
		"run.command": s.Run.Command, "ready.command": s.Ready.Command, "alive.command": s.Alive.Command,
	}
	for _, field := range sortedKeys(commands) {
		for i, argument := range commands[field] {
			d.checkReference(fmt.Sprintf("%s[%d]", field, i), argument, known)
		}
	}
	values := newEnviron(s.Run, func(string) (string, bool) { return "", true })
	for _, name := range sortedKeys(s.Run.Env) {
		field := "run.env." + name
		if d.checkReference(field, s.Run.Env[name], known) {
			continue
		}
		if _, err := values.value(name, nil); err != nil {
			d.problemAt(field, "%v", err)
		}
	}
}

// checkReference reports a text whose references are not right, and whether it
// is one.
func (d *decoder) checkReference(field, text string, known []string) (bad bool) {
	_, err := Expand(text, func(name string) (string, bool) {
		if strings.HasPrefix(name, "PORT_") && !slices.Contains(known, name) {
			d.problemAt(field, "unknown port variable %s; %s", clip(name), suggestion(name, known))
			bad = true
		}
		return "", true
	})
	if err != nil {
		d.problemAt(field, "%v", err)
	}
	return bad || err != nil
}

// order puts the lists whose order means nothing into the order of their names,
// so that specs that ask for the same are the same.
func (s *Spec) order() {
	slices.Sort(s.Pools)
	slices.SortFunc(s.Ports, func(a, b Port) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Listen, b.Listen))
	})
	byText := func(a, b Constraint) int { return cmp.Compare(a.String(), b.String()) }
	slices.SortFunc(s.Placement.Where, byText)
	s.Placement.Where = slices.CompactFunc(s.Placement.Where, func(a, b Constraint) bool { return byText(a, b) == 0 })
}
