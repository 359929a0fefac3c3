//go:build race

package sim_test

// The race detector makes a run ten times as long.
const seedsByDefault = 20
