package main

import (
	"testing"
	"time"
)

func TestParseParts(t *testing.T) {
	t.Parallel()
	const output = `goos: linux
BenchmarkMatch/services=10-2         	  100000	        75.85 ns/op	       0 B/op
BenchmarkMatch/services=10-2         	  100000	        70.00 ns/op	       0 B/op
BenchmarkMatch/obvious/services=10-2 	  100000	     82926 ns/op	      12.5 cpu-µs/op
BenchmarkOther/services=10-2 	  100000	     1 ns/op
PASS
`
	found := parseParts(output, "Match")

	if got := found.took("services=10", "ns/op", time.Nanosecond); len(got) != 2 || got[0] != 70 || got[1] != 75 {
		t.Errorf("of services=10 it found %v", got)
	}
	if got := found.took("obvious/services=10", "cpu-µs/op", time.Microsecond); len(got) != 1 || got[0] != 12500*time.Nanosecond {
		t.Errorf("of the obvious way it found %v", got)
	}
	if len(found) != 2 || len(found.took("none", "ns/op", 1)) != 0 {
		t.Errorf("it found %v", found)
	}
}
