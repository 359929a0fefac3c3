package sysmon_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aloft-run/aloft/sysmon"
)

// TestSysmonIsRelaxed: the slack is that of the thread that sleeps all the time while there is work.
func TestSysmonIsRelaxed(t *testing.T) {
	t.Parallel()
	switch err := sysmon.Relax(); {
	case errors.Is(err, fs.ErrPermission):
		t.Skip("only who may set the priorities of threads may set their slack")
	case err != nil:
		t.Fatal(err)
	}
	thread, err := sysmon.Find()
	if err != nil {
		t.Fatal(err)
	}

	slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", thread))

	if got, want := strings.TrimSpace(string(slack)), fmt.Sprint(sysmon.Slack.Nanoseconds()); err != nil || got != want {
		t.Errorf("slack = %q, %v; want %s", got, err, want)
	}
	asleep := fmt.Sprintf("%d ", syscall.SYS_NANOSLEEP)
	doing := ""
	for deadline := time.Now().Add(10 * time.Second); !strings.HasPrefix(doing, asleep) && time.Now().Before(deadline); {
		now, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", thread))
		if err != nil {
			t.Skipf("what a thread does is not told: %v", err)
		}
		doing = string(now)
	}
	if !strings.HasPrefix(doing, asleep) {
		t.Errorf("the thread is in system call %q; sysmon would be asleep, in %s", doing, asleep)
	}
}

func TestTheSecondThread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first   int
		threads []int
		want    int
	}{
		{100, []int{100, 101, 102}, 101},
		{100, []int{140, 120, 100}, 120},
		{32_766, []int{300, 301, 32_766, 32_767}, 32_767},
		{32_767, []int{301, 32_767, 300}, 300},
		{7, []int{7}, 0},
		{7, nil, 0},
	} {
		if got := sysmon.Second(c.first, c.threads); got != c.want {
			t.Errorf("after %d of %v comes %d, want %d", c.first, c.threads, got, c.want)
		}
	}
}
