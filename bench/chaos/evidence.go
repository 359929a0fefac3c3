package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// evidence is what instances and routers have written down.
type evidence struct {
	carried map[int]int          // how often each POST was carried out
	twice   []string             // attempts that were started when they must not
	agents  map[string]string    // of tasks
	stops   map[string]time.Time // when tasks were told to stop, last
	sent    map[crossing]string  // the task to which a router sent a request last
}

// crossing names a request at a router.
type crossing struct {
	door   string
	number int
}

// gather reads the journals of the instances, and what the routers have logged of the
// requests that failed.
func gather(folder string, failures []failure) (evidence, error) {
	e := evidence{carried: make(map[int]int), agents: make(map[string]string), stops: make(map[string]time.Time), sent: make(map[crossing]string)}
	journals := filepath.Join(folder, "journals")
	entries, err := os.ReadDir(journals)
	if err != nil {
		return e, err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), twiceSuffix) || strings.HasSuffix(entry.Name(), togetherSuffix) {
			e.twice = append(e.twice, entry.Name())
		}
		if err := e.readJournal(filepath.Join(journals, entry.Name())); err != nil {
			return e, err
		}
	}
	wanted := make(map[string]map[int]bool)
	for _, f := range failures {
		if wanted[f.door] == nil {
			wanted[f.door] = make(map[int]bool)
		}
		wanted[f.door][f.number] = true
	}
	for door, numbers := range wanted {
		if err := e.readAccessLog(accessLog(folder, door), door, numbers); err != nil {
			return e, err
		}
	}
	return e, nil
}

// traced notes which instance had a request last, by the log of its router: its agent, and
// when it was told to stop; nothing if the log does not say.
func (e evidence) traced(f failure) failure {
	task := e.sent[crossing{f.door, f.number}]
	f.agent, f.stopped = e.agents[task], e.stops[task]
	return f
}

func (e evidence) readJournal(path string) error {
	task, _, _ := strings.Cut(filepath.Base(path), ".")
	return eachLine(path, func(line []byte) error {
		if agent, found := strings.CutPrefix(string(line), onWord); found {
			e.agents[task] = agent
			return nil
		}
		if word, found := strings.CutPrefix(string(line), stopWord); found {
			at, err := time.Parse(time.RFC3339Nano, word)
			e.stops[task] = at
			return err
		}
		number, err := strconv.Atoi(string(line))
		if err != nil {
			return fmt.Errorf("journal %s: found %q, want a number", path, line)
		}
		e.carried[number]++
		return nil
	})
}

// readAccessLog reads which instance had some requests. A router that was killed did
// not log what it had, and may have left half a line.
func (e evidence) readAccessLog(path, door string, wanted map[int]bool) error {
	return eachLine(path, func(line []byte) error {
		if bytes.Contains(line, []byte(`"status":200,`)) || !json.Valid(line) {
			return nil
		}
		var logged struct{ Path, Task string }
		if err := json.Unmarshal(line, &logged); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		number, err := strconv.Atoi(strings.TrimPrefix(logged.Path, "/"))
		if err == nil && wanted[number] && logged.Task != "" {
			e.sent[crossing{door, number}] = logged.Task
		}
		return nil
	})
}

// eachLine hands on the lines of a file, if there is one.
func eachLine(path string, take func(line []byte) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if err := take(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
