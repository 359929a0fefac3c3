package rollout_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// program is how the instances of one revision behave.
type program struct {
	ready time.Duration // from its start until it is ready
	never bool          // it never becomes ready
	exits bool          // it exits when it would become ready
	hangs time.Duration // from then until it is not alive; zero: it is
}

// inhabitant is one instance as it really is.
type inhabitant struct {
	rollout.Instance
	status  task.Status
	agent   int       // where it is, once it is somewhere
	restart bool      // it was asked for
	due     time.Time // when it moves next; zero: when somebody else does something
}

// world carries out plans: it is the master's and the agents' part, on virtual
// time, with every move made by task.Step.
type world struct {
	now      time.Time
	goal     rollout.Goal
	progress rollout.Progress // of the deployment, in stories
	programs map[id.Revision]program
	room     int // claims that the cluster has room for
	agents   int
	silent   map[int]bool
	drained  map[int]bool
	place    time.Duration // from Pending to Running
	drain    time.Duration // from Draining to Stopping
	grace    time.Duration // from Stopping to the end
	list     []*inhabitant
	lost     []*inhabitant // with the status that they had
	born     int
	events   []string // what happened since they were last taken
}

func newWorld(goal rollout.Goal) *world {
	return &world{
		now: noon, goal: goal, programs: map[id.Revision]program{}, room: 1 << 20, agents: 2,
		silent: map[int]bool{}, drained: map[int]bool{}, place: time.Second, drain: time.Second, grace: time.Second,
	}
}

// seen returns what a planner is shown.
func (w *world) seen() []rollout.Instance {
	w.rank()
	seen := make([]rollout.Instance, len(w.list))
	for n, i := range w.list {
		i.State, i.Since, i.ReadySince, i.Failures = i.status.State, i.status.Since, i.status.ReadySince, i.status.Failures
		i.Suspect = w.cutOff(i)
		i.Unhealthy = i.status.IsUnhealthy()
		i.Leaving = i.restart || i.Unhealthy && !i.status.State.Ended() || w.drained[i.agent] && i.status.State.HoldsClaim()
		seen[n] = i.Instance
	}
	return seen
}

// cutOff reports whether nothing is heard of an instance at the moment.
func (w *world) cutOff(i *inhabitant) bool { return i.status.State.HoldsClaim() && w.silent[i.agent] }

// rank numbers the live siblings on each agent.
func (w *world) rank() {
	next := map[int]int{}
	for _, i := range w.list {
		if i.status.State.Live() && i.status.State.HoldsClaim() {
			i.Crowd = next[i.agent]
			next[i.agent]++
		}
	}
}

// carryOut does what a plan says.
func (w *world) carryOut(p rollout.Plan) {
	for range p.Start {
		w.born++
		w.list = append(w.list, &inhabitant{
			Instance: rollout.Instance{Task: id.Task(fmt.Sprintf("web-%d", w.born)), Revision: p.Revision},
			status:   task.Status{State: task.Pending, Since: w.now},
			due:      w.now,
		})
	}
	for _, i := range w.list {
		if slices.Contains(p.Stop, i.Task) {
			i.move(task.Drain{At: w.now})
			i.due = w.now.Add(w.drain)
			if i.ReadySince.IsZero() {
				i.due = w.now
			}
		}
	}
	w.list = slices.DeleteFunc(w.list, func(i *inhabitant) bool { return slices.Contains(p.Cancel, i.Task) })
}

// next returns when something happens by itself, or false if nothing will.
func (w *world) next() (time.Time, bool) {
	var first time.Time
	for _, i := range w.list {
		if !i.due.IsZero() && !w.cutOff(i) && (first.IsZero() || i.due.Before(first)) {
			first = i.due
		}
	}
	return first, !first.IsZero()
}

// pass lets everything happen that is due until then.
func (w *world) pass(until time.Time) {
	for {
		at, ok := w.next()
		if !ok || at.After(until) {
			break
		}
		if at.After(w.now) {
			w.now = at
		}
		for _, i := range slices.Clone(w.list) {
			if !i.due.IsZero() && !i.due.After(w.now) && !w.cutOff(i) {
				w.live(i)
			}
		}
	}
	w.now = until
	w.list = slices.DeleteFunc(w.list, func(i *inhabitant) bool {
		return i.status.State.Ended() && i.status.State != task.Failed && !i.status.IsUnhealthy()
	})
}

// live makes the next move of an instance.
func (w *world) live(i *inhabitant) {
	behaves := w.programs[i.Revision]
	i.due = time.Time{}
	switch i.status.State {
	case task.Pending:
		w.settleIn(i)
	case task.Assigned, task.Backoff:
		i.move(task.Accept{At: w.now, Attempt: i.status.Attempt + 1})
		i.move(task.Start{At: w.now})
		i.due = w.now.Add(behaves.ready)
	case task.Running:
		switch {
		case behaves.exits:
			w.crash(i)
		case !behaves.never:
			i.move(task.BecomeReady{At: w.now})
			w.tell(i, "ready")
			if behaves.hangs > 0 {
				i.due = w.now.Add(behaves.hangs)
			}
		}
	case task.Ready:
		w.sicken(i)
	case task.Draining:
		i.move(task.Stop{At: w.now})
		i.due = w.now.Add(w.grace)
	case task.Stopping:
		i.move(task.End{At: w.now, Exit: &task.Exit{}})
		w.tell(i, "gone")
		for _, other := range w.list {
			if other.Blocked {
				other.due = w.now
			}
		}
	default:
		panic(fmt.Sprintf("%s has nothing to do as %s", i.Task, i.status.State))
	}
}

// settleIn gives a pending instance a place, on the agent with the fewest.
func (w *world) settleIn(i *inhabitant) {
	held := make([]int, w.agents)
	claims := 0
	for _, other := range w.list {
		if other.status.State.HoldsClaim() {
			held[other.agent]++
			claims++
		}
	}
	best := -1
	for agent, n := range held {
		if !w.silent[agent] && !w.drained[agent] && (best < 0 || n < held[best]) {
			best = agent
		}
	}
	i.Blocked = best < 0 || claims >= w.room
	if i.Blocked {
		w.tell(i, "has no room")
		return
	}
	i.agent = best
	i.move(task.Assign{At: w.now})
	i.due = w.now.Add(w.place)
}

// crash ends the program of an instance; its agent will start it again.
func (w *world) crash(i *inhabitant) {
	i.move(task.End{At: w.now, Exit: &task.Exit{Code: 1}, Again: true})
	i.due = i.status.RetryAt
	w.tell(i, "failed")
}

// shake makes a ready instance unready for a while.
func (w *world) shake(i *inhabitant, d time.Duration) {
	i.move(task.BecomeUnready{At: w.now, Reason: "503"})
	i.due = w.now.Add(d)
	w.tell(i, "unready")
}

// sicken makes a running instance unhealthy, or healthy again.
func (w *world) sicken(i *inhabitant) {
	if i.status.IsUnhealthy() {
		i.move(task.BecomeHealthy{At: w.now})
		w.tell(i, "healthy")
		return
	}
	i.move(task.BecomeUnhealthy{At: w.now, Reason: "hung"})
	w.tell(i, "unhealthy")
}

// lose gives up everything on a silent agent.
func (w *world) lose(agent int) {
	for _, i := range w.list {
		if i.agent == agent && i.status.State.HoldsClaim() {
			left := *i
			w.lost = append(w.lost, &left)
			i.move(task.Lose{At: w.now, Reason: "silent"})
			i.due = time.Time{}
			w.tell(i, "lost")
		}
	}
}

// comeBack ends an agent's silence. It still has what was given up meanwhile, which is
// the same instance as the one that was lost.
func (w *world) comeBack(agent int) {
	w.silent[agent] = false
	w.lost = slices.DeleteFunc(w.lost, func(i *inhabitant) bool {
		next, returns := task.Return(task.Status{State: task.Lost}, i.status)
		if i.agent == agent && returns {
			i.status = next
			w.list = append(slices.DeleteFunc(w.list, func(gone *inhabitant) bool { return gone.Task == i.Task }), i)
			w.tell(i, "returned")
		}
		return i.agent == agent
	})
}

// unblock lets everything look for room again.
func (w *world) unblock() {
	for _, i := range w.list {
		if i.Blocked {
			i.due = w.now
		}
	}
}

func (i *inhabitant) move(e task.Event) {
	next, err := task.Step(i.status, e)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", i.Task, err))
	}
	i.status = next
}

func (w *world) tell(i *inhabitant, what string) {
	w.events = append(w.events, fmt.Sprintf("%s %s", i.Task, what))
}

// take returns what happened since the last call: "web-1, web-2 ready".
func (w *world) take() string {
	var parts []string
	for len(w.events) > 0 {
		who, what, ok := strings.Cut(w.events[0], " ")
		if !ok || !strings.HasPrefix(who, "web-") {
			parts = append(parts, w.events[0])
			w.events = w.events[1:]
			continue
		}
		same := []string{who}
		w.events = slices.DeleteFunc(w.events[1:], func(e string) bool {
			other, did, _ := strings.Cut(e, " ")
			if did == what {
				same = append(same, other)
			}
			return did == what
		})
		parts = append(parts, listed(same)+" "+what)
	}
	return strings.Join(parts, "; ")
}

// listed names at most four.
func listed(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// upcoming returns when something happens by itself; zero if nothing will.
func (w *world) upcoming() time.Time {
	at, _ := w.next()
	return at
}

// picture draws the instances by revision, one sign each; see legend.
func (w *world) picture() string {
	byRevision := map[id.Revision][]*inhabitant{}
	for _, i := range w.list {
		byRevision[i.Revision] = append(byRevision[i.Revision], i)
	}
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(byRevision)) {
		signs := make([]string, 0, len(byRevision[r]))
		for _, i := range byRevision[r] {
			signs = append(signs, w.sign(i))
		}
		slices.SortFunc(signs, func(a, b string) int {
			return cmp.Compare(strings.Index(signOrder, a), strings.Index(signOrder, b))
		})
		parts = append(parts, fmt.Sprintf("%d %s", r, strings.Join(signs, "")))
	}
	return strings.Join(parts, "  ")
}

const signOrder = "#o~!.?-x"

const legend = "# good   o ready, not settled   ~ starting   ! failed, starts again   . no place yet\n" +
	"? agent silent   - draining   x stopping\n\n"

func (w *world) sign(i *inhabitant) string {
	switch {
	case w.cutOff(i):
		return "?"
	case i.status.State == task.Ready && w.now.Before(i.status.ReadySince.Add(w.goal.Settle)):
		return "o"
	}
	switch i.status.State {
	case task.Pending:
		return "."
	case task.Assigned, task.Starting, task.Running:
		return "~"
	case task.Ready:
		return "#"
	case task.Backoff:
		return "!"
	case task.Draining:
		return "-"
	case task.Stopping:
		return "x"
	default:
		return ""
	}
}
