package cli

import (
	"os"
	"runtime"
	"runtime/debug"
)

// firstHeap is what Go lets the heap grow to before it looks for garbage first, in percent of
// 4 MiB. Most commands need less, and have ended before that would be of use.
const firstHeap = 800

// putOffCollection has the garbage of this process collected when there may be some worth it,
// and then as usual. Where the environment sets GOGC, that counts.
func putOffCollection() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(firstHeap)
	if usual == firstHeap { // it is put off already
		return
	}
	runtime.AddCleanup(new([]byte), func(percent int) { debug.SetGCPercent(percent) }, usual) // by the first collection
}
