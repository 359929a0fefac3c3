package placement

import (
	"fmt"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// RefusedError says why there is no place for a task.
type RefusedError struct {
	Service id.Service
	Never   bool     // larger than any agent or pool that it may take: waiting alone does not help
	Reasons []Reason // pools in the order asked for, then agents, the reason of most first
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
	parts := make([]string, len(e.Reasons))
	counted := false
	for i, r := range e.Reasons {
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
