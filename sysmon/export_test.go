//go:build linux

package sysmon

// Find returns the thread that is relaxed.
func Find() (thread int, err error) { return find() }

// Second returns which of the threads was started after the first one.
func Second(first int, threads []int) int { return second(first, threads) }
