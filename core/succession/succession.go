// Package succession says in which order masters take over from one another.
//
// Those who might lead and those who look for the next leader agree on it without a word:
// where another master were first, all agents of a large cluster would come twice.
package succession

import (
	"cmp"
	"slices"
	"strings"
)

// After returns the masters in the order in which they take over from the one at former:
// those that come after it by their addresses, and then those before it, without former
// itself. An address is a URL, or only its host and port: it is by these that they are
// compared. What is there twice is named once. It does not change addresses.
func After(former string, addresses []string) []string {
	compare := func(a, b string) int {
		return cmp.Or(strings.Compare(host(a), host(b)), strings.Compare(a, b))
	}
	order := slices.Compact(slices.SortedFunc(slices.Values(addresses), compare))
	at, found := slices.BinarySearchFunc(order, former, compare)
	after := at
	if found {
		after++
	}
	return slices.Concat(order[after:], order[:at])
}

// host returns an address without its scheme.
func host(address string) string {
	if _, after, found := strings.Cut(address, "://"); found {
		address = after
	}
	return strings.TrimSuffix(address, "/")
}
