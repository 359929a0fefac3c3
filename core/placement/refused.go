package placement

import (
	"fmt"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// RefusedError says that there is no place for a task, and why, which takes time by
// the number of agents, and none before somebody asks. It speaks of the books as
// they are when it is first asked.
type RefusedError struct {
	books   *ledger.Ledger
	request Request
	asked   bool
	never   bool
	reasons []Reason
}

// refuse returns a refusal that is not explained yet.
func refuse(books *ledger.Ledger, request Request) *RefusedError {
	return &RefusedError{books: books, request: request}
}

func (e *RefusedError) ask() {
	if !e.asked {
		e.asked = true
		e.reasons, e.never = explain(e.books, e.request)
	}
}

// Service returns the service of the task.
func (e *RefusedError) Service() id.Service { return e.request.Service }

// Never reports whether the task is larger than any agent or pool that it may take:
// waiting alone does not help.
func (e *RefusedError) Never() bool {
	e.ask()
	return e.never
}

// Reasons returns the reasons: of the pools in the order asked for, then of the
// agents, the reason of most first. There is none if there is room by now.
func (e *RefusedError) Reasons() []Reason {
	e.ask()
	return e.reasons
}

// Reason is one thing that keeps a task from some agents, from a pool, or from
// the whole cluster.
type Reason struct {
	Agents int     // how many it keeps away; 0 if it is not about agents
	Pool   id.Pool // "" if it is not about a pool
	Text   string  // what comes after "3 agents" or "pool web", or all of it
}

// Error says everything in one line: "3 agents short of mem by 512MiB, 2 in
// zone b (want zone = a)".
func (e *RefusedError) Error() string {
	if e.ask(); len(e.reasons) == 0 {
		return "there was no room"
	}
	parts := make([]string, len(e.reasons))
	counted := false
	for i, r := range e.reasons {
		switch {
		case r.Pool != "":
			parts[i] = fmt.Sprintf("pool %s %s", r.Pool, r.Text)
		case r.Agents == 0:
			parts[i] = r.Text
		case counted:
			parts[i] = fmt.Sprintf("%d %s", r.Agents, r.Text)
		default:
			counted = true
			parts[i] = resource.Count(r.Agents, "agent") + " " + r.Text
		}
	}
	return strings.Join(parts, ", ")
}
