package prefault

import (
	"os"
	"syscall"
	"unsafe"
)

const (
	// chunk is what Go takes for its heap at a time, from an address that is a multiple of it
	// (mheap.grow in runtime/mheap.go). The heap begins somewhere in the first.
	chunk = 4 << 20 // bytes
	// before is about how much of the heap there was before this package. Little of it has been
	// written to. What is before the heap is not asked for: nobody would ever use it.
	before = 512 << 10 // bytes
	// page is a multiple of the size of pages.
	page = 64 << 10 // bytes
)

// populateWrite is MADV_POPULATE_WRITE of madvise(2), since Linux 5.14. Before, it does nothing.
const populateWrite = 23

func init() { //nolint:gochecknoinits // main begins too late for this
	if IsCommand(os.Args) {
		_ = populate(heap())
	}
}

// heap returns about where the heap begins, as long as it is small, and where its first chunk ends.
func heap() (from, to uintptr) {
	at := uintptr(unsafe.Pointer(object()))
	first := at &^ (chunk - 1)
	return max(first, at&^(page-1)-before), first + chunk
}

// object returns something on the heap.
//
//go:noinline
func object() *[64]byte { return new([64]byte) }

// populate asks for the memory between two addresses. What is there already stays as it is.
func populate(from, to uintptr) error {
	if _, _, failed := syscall.RawSyscall(syscall.SYS_MADVISE, from, to-from, populateWrite); failed != 0 {
		return failed
	}
	return nil
}
