package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// jobsFolder is where the copies of jobs write down what they do, and lockSuffix ends
// the names of the files of which each copy has one alone.
const jobsFolder, lockSuffix = "jobs", ".lock"

// reportMax is how long it may take until all masters know that a copy has done its
// work: a fault of its machine in this time has it done again.
const reportMax = 10 * time.Second

// labour is what the copies of jobs have done, by job, run and copy.
type labour map[string][]deed

// deed is a copy's work, done once.
type deed struct {
	agent string
	at    time.Time
}

// readJobs reads the journals of the copies, and tells which laws they broke.
func readJobs(folder string) (done labour, laws []string, err error) {
	done = make(labour)
	folder = filepath.Join(folder, jobsFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasSuffix(name, lockSuffix):
			continue
		case strings.HasSuffix(name, twiceSuffix), strings.HasSuffix(name, togetherSuffix):
			laws = append(laws, "an attempt of a job's copy was started twice, or beside another one: "+name)
		}
		var agent string
		err := eachLine(filepath.Join(folder, name), func(line []byte) error {
			if on, found := strings.CutPrefix(string(line), onWord); found {
				agent = on
				return nil
			}
			when, work, _ := strings.Cut(strings.TrimPrefix(string(line), doneWord), " ")
			at, err := time.Parse(time.RFC3339Nano, when)
			done[work] = append(done[work], deed{agent, at})
			return err
		})
		if err != nil {
			return nil, nil, fmt.Errorf("journal %s: %w", name, err)
		}
	}
	return done, laws, nil
}

// hasWorked reports whether an attempt of a job's copy has done its work, and so may have
// ended. Masters that do not hear of its agent do not know.
func hasWorked(folder string, a attempt) bool {
	done := false
	err := eachLine(filepath.Join(folder, jobsFolder, a.task+"."+a.number), func(line []byte) error {
		done = done || strings.HasPrefix(string(line), doneWord)
		return nil
	})
	return done && err == nil // of what is not a job there is no such file
}

// judge holds the work to what was told of it: every copy of a job that succeeded was
// done, and none was done twice in one run unless a fault of its machine explains it.
// Those that were not said to have succeeded were told to fail, or were stopped.
func (l labour) judge(succeeded map[string]int, faults []fault) (laws []string) {
	copies := make(map[string]map[string]bool) // that were done, by job
	for _, work := range slices.Sorted(maps.Keys(l)) {
		job, run, _ := strings.Cut(work, " ")
		_, number, _ := strings.Cut(run, " ")
		if copies[job] == nil {
			copies[job] = make(map[string]bool)
		}
		copies[job][number] = true
		deeds := slices.SortedFunc(slices.Values(l[work]), func(a, b deed) int { return a.at.Compare(b.at) })
		for i := range len(deeds) - 1 {
			if succeeded[job] > 0 && !deeds[i].undone(faults) {
				laws = append(laws, fmt.Sprintf("a copy was done again without need (job, run, copy %s): %v", work, deeds))
			}
		}
	}
	for _, job := range slices.Sorted(maps.Keys(succeeded)) {
		if done := len(copies[job]); done != succeeded[job] {
			laws = append(laws, fmt.Sprintf("%s was said to have succeeded with %d copies, and %d were done", job, succeeded[job], done))
		}
	}
	return laws
}

// undone reports whether a fault took what a copy had done before it was known.
func (d deed) undone(faults []fault) bool {
	return slices.ContainsFunc(faults, func(f fault) bool {
		return f.loses && f.part == d.agent && d.at.After(f.from.Add(-reportMax)) && d.at.Before(f.to.Add(lagMax))
	})
}
