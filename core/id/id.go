// Package id names the things in a cluster, each kind by its own type, so that
// the compiler refuses a task's name where an agent's is wanted.
//
// A name that an operator chooses is a DNS label, so that it can stand in a
// host name, a file name, a metric and a key of the store without quoting.
package id

import (
	"errors"
	"fmt"
)

type (
	// Agent names one machine's agent.
	Agent string
	// Partition names a share of one resource type, unique on its agent.
	Partition string
	// Pool names a share of the cluster that services draw from.
	Pool string
	// Service names a service, job, cron or daemon.
	Service string
	// Task names one task. A name is never used twice.
	Task string
	// Deployment names one deployment: the service and a number, as in web-3.
	Deployment string
	// Router names one router.
	Router string
	// Revision numbers a service's specs from 1. Zero means none.
	Revision int64
)

// LengthMax is the longest name, in bytes: that of a DNS label.
const LengthMax = 63

// ErrName is the error for a name that is not a DNS label.
var ErrName = errors.New("not a name")

// The bytes that a name may have: bit n of low for byte n, bit n of high for byte 64+n.
const (
	low  = 1<<'-' | (1<<10-1)<<'0'
	high = (1<<26 - 1) << ('a' - 64)
)

// allowed reports whether a name has no other bytes. It does not branch by the byte:
// every claim is checked.
func allowed(name string) bool {
	good, all := uint64(1), byte(0)
	for i := range len(name) {
		c, set := name[i], uint64(low)
		if c >= 64 {
			set = high
		}
		good, all = good&(set>>(c&63)), all|c
	}
	return good == 1 && all < 128
}

// Check returns an error that wraps ErrName unless name is a DNS label: 1 to 63
// lower-case letters, digits and inner hyphens.
func Check[T ~string](name T) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrName)
	case len(name) > LengthMax:
		return fmt.Errorf("%w: %d bytes are more than %d", ErrName, len(name), LengthMax)
	}
	if name[0] == '-' || name[len(name)-1] == '-' || !allowed(string(name)) {
		return fmt.Errorf("%w: %q: want lower-case letters, digits and inner hyphens", ErrName, string(name))
	}
	return nil
}
