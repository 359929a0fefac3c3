package sysmon

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// numbers is above all numbers of threads (PID_MAX_LIMIT in include/linux/threads.h). The kernel
// gives them upwards, and when it has come to the top it begins again at the bottom.
const numbers = 4 << 20

// errNone says that a process has one thread only.
var errNone = errors.New("no thread but the first")

// Relax gives the timers of this process's sysmon the Slack. It needs the capability
// CAP_SYS_NICE, and returns the kernel's error without it: then all is as it was.
func Relax() error {
	thread, err := find()
	if err != nil {
		return fmt.Errorf("sysmon: %w", err)
	}
	return os.WriteFile(slackFile(thread), strconv.AppendInt(nil, Slack.Nanoseconds(), 10), 0)
}

// slackFile returns the file with the slack of a thread's timers.
func slackFile(thread int) string {
	return filepath.Join("/proc", strconv.Itoa(thread), "timerslack_ns")
}

// find returns the number of the thread that is sysmon: the first one that runtime.main starts.
func find() (thread int, err error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	var threads []int
	for _, entry := range entries {
		if thread, err := strconv.Atoi(entry.Name()); err == nil {
			threads = append(threads, thread)
		}
	}
	if thread = second(os.Getpid(), threads); thread == 0 {
		return 0, errNone
	}
	return thread, nil
}

// second returns the thread that was started after the first one, or 0.
func second(first int, threads []int) int {
	found, least := 0, math.MaxInt
	for _, thread := range threads {
		distance := thread - first
		if distance < 0 {
			distance += numbers
		}
		if distance > 0 && distance < least {
			found, least = thread, distance
		}
	}
	return found
}
