// Package aloft is the map of this codebase; it holds no code.
//
// Read the folders in this order: core decides, wire and store remember, master
// and agent do, router serves, client and cli ask. ARCHITECTURE.md shows which
// may import which, and arch_test.go holds every package to it.
package aloft
