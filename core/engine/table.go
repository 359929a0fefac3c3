package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

func ruleOf(r spec.Route) route.Rule {
	return route.Rule{Host: r.Host, Path: r.Path, Port: r.Listen}.Clean()
}

func rulesOf(s *spec.Spec) []route.Rule {
	rules := make([]route.Rule, len(s.Routes))
	for i, r := range s.Routes {
		rules[i] = ruleOf(r)
	}
	return rules
}

// specsInUse returns the specs that requests may be answered by: the wanted one
// first, then the one that a rollback goes to, then those of live tasks, the
// newest first.
func (s *service) specsInUse() []*spec.Spec {
	if s.record.Stopped && len(s.live) == 0 {
		return nil
	}
	numbers := []id.Revision{s.record.Revision, s.record.LastGood}
	alive := make(map[id.Revision]bool)
	var last id.Revision // of the task before: most have one
	for _, t := range s.live {
		if t.record.Revision != last {
			last = t.record.Revision
			alive[last] = true
		}
	}
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(alive))) {
		if s.generation(number) != s.generation(s.record.Revision) {
			numbers = append(numbers, number)
		}
	}
	var specs []*spec.Spec
	for _, number := range numbers {
		if r := s.revisions[number]; r != nil && !slices.Contains(specs, r.Spec) {
			specs = append(specs, r.Spec)
		}
	}
	return specs
}

// claimRules notes which routes a service has, so that no other gets them: all
// that a revision in use has.
func (e *Engine) claimRules(s *service) {
	for _, rule := range s.rules {
		delete(e.rules, rule)
	}
	s.rules = nil
	for _, used := range s.specsInUse() {
		for _, rule := range rulesOf(used) {
			if _, taken := e.rules[rule]; !taken {
				e.rules[rule] = s.record.Name
				s.rules = append(s.rules, rule)
			}
		}
	}
}

// claimWanted notes the routes of the wanted revision alone. A new leader does so
// for every service before any gets the routes that it may go back to.
func (e *Engine) claimWanted(s *service) {
	if wanted := s.wantedSpec(); wanted != nil {
		for _, rule := range rulesOf(wanted) {
			e.rules[rule] = s.record.Name
			s.rules = append(s.rules, rule)
		}
	}
}

// refreshTable makes the table anew, and has those services planned whose tasks
// left it and wait for no router. Ports rest until the table is known that they left;
// it reports whether some are free now.
func (e *Engine) refreshTable() (freed bool) {
	e.makeTable()
	for _, t := range e.leaving {
		draining := t.state() == task.Draining
		if draining || e.resting[t.record.ID] == t { // else it is back
			if t.leave == nil {
				t.leave = new(leave)
			}
			t.leave.left = e.table.Version
		}
		if draining && e.drained(t) {
			e.touch(t.owner)
		}
	}
	e.leaving = nil
	return e.endRests()
}

// makeTable makes the table anew where it may have changed. Its number grows
// when it has.
func (e *Engine) makeTable() {
	changed := e.table.Version.Seq == 0
	for _, name := range slices.Sorted(maps.Keys(e.tableStale)) {
		parts := e.partsOf(e.services[name])
		if slices.EqualFunc(e.parts[name], parts, sameService) {
			continue
		}
		changed = true
		if e.parts[name] = parts; len(parts) == 0 {
			delete(e.parts, name)
		}
	}
	clear(e.tableStale)
	if !changed {
		return
	}
	e.table = route.Table{Version: route.Version{Epoch: e.config.Epoch, Seq: e.table.Version.Seq + 1}}
	for _, name := range slices.Sorted(maps.Keys(e.parts)) {
		e.table.Services = append(e.table.Services, e.parts[name]...)
	}
}

func sameService(a, b route.Service) bool {
	return a.Name == b.Name && a.Hold == b.Hold && a.QueueMax == b.QueueMax &&
		slices.Equal(a.Rules, b.Rules) && slices.Equal(a.Endpoints, b.Endpoints)
}

// partsOf returns a service's part of the table: of the rules that are its own,
// for routers refuse a table in which two services have one. A rule leads to the ready tasks
// whose spec has it, at the port that their spec says; so during a deployment
// that changes routes, each answers for its own. Rules that lead to the same
// endpoints are one entry; an entry after the first is named after the first's
// name and its number.
func (e *Engine) partsOf(s *service) []route.Service {
	if s == nil {
		return nil
	}
	e.claimRules(s)
	var parts []route.Service
	for _, used := range s.specsInUse() {
		for _, r := range used.Routes {
			if rule := ruleOf(r); e.rules[rule] == s.record.Name && !hasRule(parts, rule) && (used == s.wantedSpec() || s.answered(rule)) {
				parts = addRule(parts, rule, r, e.endpoints(s, rule))
			}
		}
	}
	for i := range parts {
		parts[i].Name = s.record.Name
		if i > 0 {
			parts[i].Name = id.Service(fmt.Sprintf("%s:%d", s.record.Name, i+1))
		}
	}
	return parts
}

func hasRule(parts []route.Service, rule route.Rule) bool {
	return slices.ContainsFunc(parts, func(p route.Service) bool { return slices.Contains(p.Rules, rule) })
}

func addRule(parts []route.Service, rule route.Rule, r spec.Route, endpoints []route.Endpoint) []route.Service {
	for i := range parts {
		if parts[i].Hold == r.Hold && slices.Equal(parts[i].Endpoints, endpoints) {
			parts[i].Rules = append(parts[i].Rules, rule)
			return parts
		}
	}
	return append(parts, route.Service{Rules: []route.Rule{rule}, Hold: r.Hold, Endpoints: endpoints})
}

func (s *service) wantedSpec() *spec.Spec {
	if r := s.wanted(); r != nil && !s.record.Stopped {
		return r.Spec
	}
	return nil
}

// answered reports whether a live task answers for a rule, now or in a moment:
// then requests for it are held rather than refused.
func (s *service) answered(rule route.Rule) bool {
	return slices.ContainsFunc(s.live, func(t *entry) bool {
		_, has := portFor(s.specOf(t), rule)
		return has && t.state().Live()
	})
}

// endpoints returns the ready tasks that answer for a rule, oldest first.
func (e *Engine) endpoints(s *service, rule route.Rule) []route.Endpoint {
	var list []route.Endpoint
	var last id.Revision // of the task before: most have one
	var port string
	var has bool
	for _, t := range s.live {
		if t.record.Revision != last {
			last = t.record.Revision
			port, has = portFor(s.specOf(t), rule)
		}
		number := t.record.Ports.Number(port)
		if !has || !t.state().Serving() || number == 0 {
			continue
		}
		t.routed = true
		on := e.agents[t.record.Claim.Agent]
		list = append(list, route.Endpoint{
			Task: t.record.ID, Revision: t.record.Revision,
			Address: joinHostPort(on.record.Address, number), Suspect: on.silent(),
		})
	}
	return list
}

// portFor returns the name of the port that a spec's route for a rule leads to.
func portFor(s *spec.Spec, rule route.Rule) (string, bool) {
	for _, r := range s.Routes {
		if ruleOf(r) == rule {
			return r.Port, true
		}
	}
	return "", false
}

// joinHostPort returns host:port, with brackets around an IPv6 address.
func joinHostPort(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}
