package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lagMax is how long after its end a fault may still be felt: a connection that it
// killed is used once more.
const lagMax = 2 * time.Second

// linger is how long a router that was told to stop has its open connections used:
// a little less than the second that it gives them. When it closes one that was silent
// all that time, it cannot know of a request that is on its way.
const linger = 900 * time.Millisecond

// verdict is what became of the requests, judged.
type verdict struct {
	lost    []failure // that were safe to save
	unsaved []failure // POSTs that a fault explains: an instance or a router may have had them
	laws    []string  // that were broken
}

// judge separates what was lost from what nobody could have saved, and holds the
// journals of the instances to the answers that clients got.
func judge(c counts, faults []fault, folder string) (verdict, error) {
	var v verdict
	for _, f := range c.failures {
		if f.method == http.MethodPost && f.ending == unknown && explained(f, faults) {
			v.unsaved = append(v.unsaved, f)
		} else {
			v.lost = append(v.lost, f)
		}
	}
	carried, starts, err := readJournals(folder)
	if err != nil {
		return v, err
	}
	for _, name := range starts {
		v.laws = append(v.laws, "an attempt was started twice, or beside another one: "+name)
	}
	for number, times := range carried {
		if times > 1 {
			v.laws = append(v.laws, fmt.Sprintf("POST %d was carried out %d times", number, times))
		}
	}
	for number := range c.answered {
		if carried[number] == 0 {
			v.laws = append(v.laws, fmt.Sprintf("POST %d was answered and not carried out", number))
		}
	}
	return v, nil
}

// explained reports whether a fault that can break a POST was there while it was
// under way: at the router that had it, or at an agent, when the router says so or
// was told to stop and its requests had no more time. A router that was told to stop
// may also have closed a connection that had been silent.
func explained(f failure, faults []fault) bool {
	met := slices.DeleteFunc(slices.Clone(faults), func(one fault) bool {
		return !f.begun.Before(one.to.Add(lagMax)) || !f.ended.After(one.from)
	})
	if slices.ContainsFunc(met, func(one fault) bool {
		return one.part == f.door && one.name == toldToStop && f.begun.After(one.from.Add(linger))
	}) {
		return true
	}
	stopped := slices.ContainsFunc(met, func(one fault) bool { return one.part == f.door })
	return slices.ContainsFunc(met, func(one fault) bool {
		atAgent := (f.reason != "" || stopped) && strings.HasPrefix(one.part, "a")
		return one.harm == breaks && (one.part == f.door || atAgent)
	})
}

// readJournals returns how often each POST was carried out, and the attempts that
// were started when they must not.
func readJournals(folder string) (carried map[int]int, twice []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	carried = make(map[int]int)
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), twiceSuffix) || strings.HasSuffix(entry.Name(), togetherSuffix) {
			twice = append(twice, entry.Name())
		}
		if err := readJournal(filepath.Join(folder, entry.Name()), carried); err != nil {
			return nil, nil, err
		}
	}
	return carried, twice, nil
}

func readJournal(path string, carried map[int]int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		number, err := strconv.Atoi(lines.Text())
		if err != nil {
			return fmt.Errorf("journal %s: found %q, want a number", path, lines.Text())
		}
		carried[number]++
	}
	return lines.Err()
}
