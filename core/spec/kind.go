package spec

import "slices"

// String returns the kind as a spec file names it.
func (k Kind) String() string {
	names := []string{"", "service", "job", "daemon", "cron"}
	if int(k) >= len(names) {
		return ""
	}
	return names[k]
}

// RunsToCompletion reports whether a task of that kind ends when its program ends.
func (k Kind) RunsToCompletion() bool { return k == Job || k == Cron }

// kinds is a set of kinds. The empty set stands for all of them.
type kinds []Kind

// has reports whether k is in the set. A kind that is not known yet is.
func (ks kinds) has(k Kind) bool { return len(ks) == 0 || k == 0 || slices.Contains(ks, k) }

// allKinds returns each kind once.
func allKinds() kinds { return kinds{Service, Job, Daemon, Cron} }

// kept are the kinds whose tasks are kept running.
func kept() kinds { return kinds{Service, Daemon} }

// finite are the kinds whose tasks run to completion.
func finite() kinds { return kinds{Job, Cron} }
