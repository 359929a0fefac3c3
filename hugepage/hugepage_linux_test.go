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
	before := memory(t, "Rss")
	if upTo := hugepage.Heap(512 * mib); upTo != 512*mib {
		t.Skipf("huge pages up to %d bytes: memory is bounded here", upTo)
	}
	if grown := memory(t, "Rss") - before; grown > 8*mib {
		t.Errorf("what nobody uses takes %d MiB", grown/mib)
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
	if huge := memory(t, "AnonHugePages"); huge > 0 {
		t.Errorf("of a small heap %d MiB are of huge pages", huge/mib)
	}
	fill(400 * mib)
	if huge := memory(t, "AnonHugePages"); huge < 250*mib {
		t.Errorf("of a heap of 400 MiB %d MiB are of huge pages", huge/mib)
	}
	runtime.KeepAlive(heap)
}

// memory returns how many bytes of this process's memory are of that kind.
func memory(t *testing.T, kind string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + kind + `:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %s", kind, text)
	}
	kb, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
