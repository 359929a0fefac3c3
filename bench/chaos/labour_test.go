package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestJobsAreHeldToWhatWasSaid finds what was left out, done again without need, started
// again or done beside each other; and nothing where a machine was lost.
func TestJobsAreHeldToWhatWasSaid(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, jobsFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(second int) string { return time.Unix(int64(1000+second), 0).Format(time.RFC3339Nano) }
	for name, text := range map[string]string{
		"whole-1-1.1": "on a1\ndone " + at(1) + " whole 1 0\n", "whole-1-2.1": "on a2\ndone " + at(1) + " whole 1 1\n", "whole 1 0.lock": "",
		"half-1-1.1":  "on a1\ndone " + at(2) + " half 1 0\n",
		"again-1-1.1": "on a1\ndone " + at(3) + " again 1 0\n", "again-1-2.1": "on a3\ndone " + at(9) + " again 1 0\n",
		"taken-1-1.1": "on a2\ndone " + at(19) + " taken 1 0\n", "taken-1-2.1": "on a3\ndone " + at(29) + " taken 1 0\n",
		"bad-1-1.1": "on a1\ndone " + at(3) + " bad 1 0\n", "bad-1-2.1": "on a1\ndone " + at(4) + " bad 1 0\n",
		"begun-1-1.1.5.twice": "", "begun-1-1.1.6.together": "",
	} {
		if err := os.WriteFile(filepath.Join(folder, jobsFolder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	faults := []fault{{kind: kind{name: "power lost", loses: true}, part: "a2", from: time.Unix(1020, 0), to: time.Unix(1025, 0)}}

	done, laws, err := readJobs(folder)
	laws = append(laws, done.judge(map[string]int{"whole": 2, "half": 2, "again": 1, "taken": 1, "gone": 1}, faults)...)

	for a, wanted := range map[attempt]bool{
		{task: "whole-1-1", number: "1"}: true, {task: "whole-1-1", number: "2"}: false, {task: "begun-1-1", number: "1"}: false,
	} {
		if hasWorked(folder, a) != wanted {
			t.Errorf("hasWorked(%v) = %v", a, !wanted)
		}
	}
	told := strings.Join(laws, "\n")
	if err != nil || len(laws) != 5 {
		t.Errorf("it found, with %v,\n%s\nwant 5 laws", err, told)
	}
	for _, wanted := range []string{"twice", "together", "copy again 1 0", "half was said", "gone was said"} {
		if !strings.Contains(told, wanted) {
			t.Errorf("it found\n%s\nand nothing of %q", told, wanted)
		}
	}
}
