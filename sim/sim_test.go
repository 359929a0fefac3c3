package sim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", seedsByDefault, "how many scenarios are drawn")
	first   = flag.Uint64("seed", 1, "the first seed")
	storied = flag.Bool("story", false, "print the story of every run")
	shrinks = flag.Duration("shrink", 30*time.Second, "how long a failure is shrunk")
)

// TestSimulation lives one scenario for each seed, in order, as many at a time as
// there are processors.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var next, failed atomic.Int32
	for lane := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprintf("lane %d", lane+1), func(t *testing.T) {
			t.Parallel()
			for i := int(next.Add(1)) - 1; i < *seeds && failed.Load() < failuresMax; i = int(next.Add(1)) - 1 {
				seed := *first + uint64(i)
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					if !live(t, drawn(seed)) {
						failed.Add(1)
					}
				})
			}
		})
	}
}

// failuresMax is after how many failures no more seeds are lived.
const failuresMax = 5

// TestKept lives again the scenarios that have once broken a law.
func TestKept(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScenario(string(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			live(t, s)
		})
	}
}

// live plays a scenario, and shrinks it if it breaks a law. It reports whether
// all were kept.
func live(t *testing.T, s scenario) bool {
	t.Helper()
	broken, story := bubble(t, s)
	if broken == nil {
		if *storied {
			t.Logf("%s\n%s", s, strings.Join(story, "\n"))
		}
		return true
	}
	smaller, why, story := shrink(t, s, broken, story)
	t.Errorf("a law is broken: %s\n\nThe scenario, shrunk to %d of %d actions; keep it in sim/testdata:\n\n%s\nWhat happened:\n\n%s",
		why, len(smaller.actions), len(s.actions), smaller, strings.Join(ending(story), "\n"))
	return false
}

// bubble plays a scenario on virtual time.
func bubble(t *testing.T, s scenario) (broken *violation, story []string) {
	t.Helper()
	dir, remove, err := workplace()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	synctest.Test(t, func(*testing.T) { broken, story = run(s, dir) })
	return broken, story
}

// ending returns the last lines of a story.
func ending(story []string) []string {
	const most = 120
	if len(story) > most && !*storied {
		return story[len(story)-most:]
	}
	return story
}

// shrink leaves out actions for as long as the same law is broken and there is
// time.
func shrink(t *testing.T, s scenario, broken *violation, story []string) (scenario, *violation, []string) {
	t.Helper()
	end := time.Now().Add(*shrinks)
	for size := (len(s.actions) + 1) / 2; size > 0; {
		found := false
		for from := 0; from < len(s.actions) && time.Now().Before(end); {
			smaller := s.without(from, min(from+size, len(s.actions)))
			again, how := bubble(t, smaller)
			if again != nil && again.law == broken.law {
				s, broken, story, found = smaller, again, how, true
				continue
			}
			from += size
		}
		if size == 1 && !found || !time.Now().Before(end) {
			break
		}
		size = max(1, size/2)
	}
	return s, broken, story
}
