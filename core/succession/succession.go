// Package succession says in which order masters take over from one another.
//
// Those who might lead and those who look for the next leader agree on it without a word:
// where another master were first, all agents of a large cluster would come twice.
package succession

import (
	"slices"
	"strings"
)

// After returns the masters in the order in which they take over from the one at former:
// those that come after it by their addresses, and then those before it, without former
// itself. An address is a URL, or only its host and port: masters are called and call
// themselves the one or the other. What is there twice is named once. It does not change
// addresses.
func After(former string, addresses []string) []string {
	start := host(former)
	compare := func(a, b string) int { return strings.Compare(host(a), host(b)) }
	order := slices.SortedStableFunc(slices.Values(addresses), compare)
	order = slices.CompactFunc(order, func(a, b string) bool { return host(a) == host(b) })
	order = slices.DeleteFunc(order, func(a string) bool { return host(a) == start })
	at, _ := slices.BinarySearchFunc(order, former, compare)
	return slices.Concat(order[at:], order[:at])
}

// host returns an address without its scheme.
func host(address string) string {
	if _, after, found := strings.Cut(address, "://"); found {
		return after
	}
	return address
}
