//go:build !race

package hugepage_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/aloft-run/aloft/hugepage"
)

const mib = 1 << 20

// freshVariable is set for a process that has nothing else to do.
const freshVariable = "ALOFT_FRESH"

// TestAHeapThatGrowsIsOfHugePages, and one that does not takes no more memory than it did.
// The race detector has memory of its own for each heap.
func TestAHeapThatGrowsIsOfHugePages(t *testing.T) {
	t.Parallel()
	if os.Getenv(freshVariable) == "" {
		fresh := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		fresh.Env = append(os.Environ(), freshVariable+"=1")
		if said, err := fresh.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, said)
		}
		return
	}
	offered, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || bytes.Contains(offered, []byte("[never]")) {
		t.Skipf("the kernel offers no huge pages: %s, %v", offered, err)
	}
	before, _ := memory(t)
	if upTo := hugepage.Heap(512 * mib); upTo != 512*mib {
		t.Skipf("huge pages up to %d bytes: memory is bounded here", upTo)
	}
	if after, _ := memory(t); after-before > 8*mib {
		t.Errorf("what nobody uses takes %d MiB", (after-before)/mib)
	}

	var heap [][]byte
	fill := func(size int) {
		for len(heap) < size/mib {
			piece := make([]byte, mib)
			for at := 0; at < len(piece); at += 4096 {
				piece[at] = 1
			}
			heap = append(heap, piece)
		}
	}
	fill(20 * mib)
	if _, huge := memory(t); huge > 4*mib {
		t.Errorf("of a small heap %d MiB are to be of huge pages", huge/mib)
	}
	fill(400 * mib)
	if _, huge := memory(t); huge < 360*mib {
		t.Errorf("of a heap of 400 MiB %d MiB are to be of huge pages", huge/mib)
	}
	runtime.KeepAlive(heap)
}

// memory returns how many bytes this process has in memory, and of these where it has asked
// for huge pages. Whether it got them depends on what else the machine does.
func memory(t *testing.T) (all, huge int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?ms)^Rss:\s+(\d+) kB$.*?^VmFlags:(.*?)$`).FindAllSubmatch(text, -1) {
		kb, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		all += kb << 10
		if bytes.Contains(found[2], []byte(" hg")) {
			huge += kb << 10
		}
	}
	return all, huge
}
