// Package sim runs whole clusters in one bubble of virtual time: the real
// masters, agents and routers on a network, machines, programs and a store that
// fail as a seed has drawn. It is made of tests alone.
//
// Laws are checked at every commit, start, stop, request and answer, and once
// all faults are healed, everything that can run must run. A seed draws the whole
// scenario beforehand; a scenario that breaks a law is shrunk and printed as text
// that can be replayed. What goroutines do at one instant is not in the seed's
// hand: most failures come again with their seed, and not all.
package sim
