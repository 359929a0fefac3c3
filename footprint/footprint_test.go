package footprint_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/aloft-run/aloft/footprint"
)

// TestShrinkKeepsTheProgram: the pages are given back, and come again when they are
// needed.
func TestShrinkKeepsTheProgram(t *testing.T) { //nolint:paralleltest // it measures the whole process
	before := fileBacked(t)

	if err := footprint.Shrink(); err != nil {
		t.Fatal(err)
	}

	if after := fileBacked(t); after >= before {
		t.Errorf("%d KiB of files are resident, and %d KiB were before", after, before)
	}
	if !regexp.MustCompile(`^\w+$`).MatchString("alive") {
		t.Error("the program is not what it was")
	}
}

// fileBacked returns how much of files this process has in memory, in KiB.
func fileBacked(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^RssFile:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		t.Skip("this kernel does not say what is resident of files")
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
