package sim_test

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scenario is all that a run is made of but the choices of the scheduler.
type scenario struct {
	seed    uint64 // draws what the network does, and when clients ask
	masters int
	agents  int
	routers int
	split   int // operations that fit into a transaction; 0: many
	actions []action
}

// action is something that happens, so long after the beginning.
type action struct {
	at   time.Duration
	verb string
	args []string
}

// arg returns an argument by its place; "" if it is not there.
func (a action) arg(i int) string {
	if i < len(a.args) {
		return a.args[i]
	}
	return ""
}

// named returns the argument NAME=VALUE, or a fallback.
func (a action) named(name, fallback string) string {
	for _, arg := range a.args {
		if value, found := strings.CutPrefix(arg, name+"="); found {
			return value
		}
	}
	return fallback
}

// duration returns the argument NAME=DURATION; 0 if it is not there.
func (a action) duration(name string) time.Duration {
	d, _ := time.ParseDuration(a.named(name, "0s")) // parseScenario has checked it
	return d
}

// number returns the argument NAME=NUMBER; 0 if it is not there.
func (a action) number(name string) int {
	n, _ := strconv.Atoi(a.named(name, "0")) // parseScenario has checked it
	return n
}

func (a action) String() string {
	return strings.Join(append([]string{fmt.Sprintf("%8.3fs", a.at.Seconds()), a.verb}, a.args...), " ")
}

func (s scenario) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "cluster seed=%d masters=%d agents=%d routers=%d split=%d\n", s.seed, s.masters, s.agents, s.routers, s.split)
	for _, a := range s.actions {
		fmt.Fprintln(&text, a)
	}
	return text.String()
}

// without returns the scenario with some of its actions left out.
func (s scenario) without(from, to int) scenario {
	s.actions = slices.Concat(s.actions[:from], s.actions[to:])
	return s
}

// parseScenario reads what String has written. Lines that begin with # say why
// the scenario is kept.
func parseScenario(text string) (scenario, error) {
	var s scenario
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if fields[0] == "cluster" {
			head := action{args: fields[1:]}
			s.seed = uint64(head.number("seed"))
			s.masters, s.agents, s.routers = head.number("masters"), head.number("agents"), head.number("routers")
			s.split = head.number("split")
			continue
		}
		at, err := time.ParseDuration(fields[0])
		if err != nil || len(fields) < 2 {
			return scenario{}, fmt.Errorf("line %q: want a time and a verb", lines.Text())
		}
		if !known(fields[1]) {
			return scenario{}, fmt.Errorf("line %q: no such verb", lines.Text())
		}
		s.actions = append(s.actions, action{at: at, verb: fields[1], args: fields[2:]})
	}
	if s.masters == 0 || s.agents == 0 {
		return scenario{}, errors.New("a line that begins with cluster is missing")
	}
	return s, lines.Err()
}
