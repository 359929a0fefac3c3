// Package placement chooses where a task runs: the agent, the slices of its
// partitions, the ports, and the pool that it draws from. It says why there,
// and where there is no place it says of every agent and pool why not.
//
// It only reads the books and claims nothing. What it chooses can be claimed as
// long as the books have not changed, and of two equal questions to equal books
// the answers are equal.
package placement

import (
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// Attributes that every agent has, whether its configuration names them or not.
const (
	AgentAttribute = "agent" // its name
	HostAttribute  = "host"  // its machine; its name unless it says otherwise
)

// Request is a task that looks for a place.
type Request struct {
	Service   id.Service
	Resources resource.Vector
	Ports     []ledger.PortWish
	Where     []spec.Constraint // all must hold
	Spread    []string          // attributes to spread over, the most important first
	Pools     []id.Pool         // one of them gives; empty: it draws from no pool
	Siblings  map[id.Agent]int  // how many live instances of the service are on each agent
	Avoid     []id.Agent        // taken only if no other agent fits
	Only      id.Agent          // the one agent that is asked for, or "" for any
}

// Choice is a place that was found.
type Choice struct {
	Agent  id.Agent
	Pool   id.Pool // "" if the request names none
	Slices []ledger.Slice
	Ports  []ledger.PortGrant // in the order of the request
	Why    Grounds            // why here
}

// Claim returns what a task has to claim to take the place.
func (c Choice) Claim(task id.Task) ledger.Claim {
	return ledger.Claim{Task: task, Agent: c.Agent, Pool: c.Pool, Slices: c.Slices}
}

// Choose finds the best place for a task. Of the pools with room the one of the
// highest priority gives, the first named of equals. Of the agents that are
// open, satisfy the constraints and have room, these win, each rule deciding
// between the equals of the one before:
//
//  1. one that is not to be avoided;
//  2. the highest mean weight of what the task would take;
//  3. the fewest siblings with the same value of each attribute to spread over,
//     then on the same host, then on the agent;
//  4. the tightest fit: the least left of the resource that the task takes the
//     largest share of;
//  5. the first by name.
//
// The error is a *RefusedError.
func Choose(books *ledger.Ledger, request Request) (Choice, error) {
	pool, ok := choosePool(books, &request)
	if !ok {
		return Choice{}, refuse(books, request)
	}
	found, ok := chooseAgent(books, request)
	if !ok {
		return Choice{}, refuse(books, request)
	}
	return choice(books, &request, found.grounds(pool)), nil
}

// choice cuts the request out of the agent that was chosen.
func choice(books *ledger.Ledger, request *Request, why Grounds) Choice {
	agent := why.agent.ID()
	fitted, err := books.Fit(agent, request.Resources, request.Ports)
	if err != nil {
		panic(fmt.Sprintf("placement: agent %s was weighed as fit: %v", agent, err))
	}
	return Choice{Agent: agent, Pool: why.pool, Slices: fitted.Slices, Ports: fitted.Ports, Why: why}
}

// choosePool returns the pool that gives. It is false if none has room.
func choosePool(books *ledger.Ledger, request *Request) (id.Pool, bool) {
	if len(request.Pools) == 0 {
		return "", true
	}
	var best ledger.Pool
	found := false
	for _, name := range request.Pools {
		view, known := books.Pool(name)
		if !known || found && view.Pool().Priority <= best.Priority {
			continue
		}
		if view.Shortage(request.Resources, len(request.Ports)) == nil {
			best, found = view.Pool(), true
		}
	}
	return best.ID, found
}
