package prefault_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"unsafe"

	"github.com/aloft-run/aloft/prefault"
)

// TestTheHeapBeginsInMemory: what Go has taken for it is there, though nobody has written to most of it.
func TestTheHeapBeginsInMemory(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	other, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(other) })
	start := uintptr(unsafe.Pointer(&other[0]))
	if there, _ := inMemory(t, start, start+size); there != 0 {
		t.Fatalf("of what nobody has written to %d pages are in memory", there)
	}
	switch err := prefault.Populate(start, start+size); {
	case errors.Is(err, syscall.EINVAL):
		t.Skip("Linux 5.14 is the first that gives memory when it is asked")
	case err != nil:
		t.Fatal(err)
	}
	if there, all := inMemory(t, start, start+size); there != all {
		t.Errorf("of %d pages that were asked for %d are in memory", all, there)
	}

	there, all := inMemory(t, prefault.From, prefault.To)

	if there != all {
		t.Errorf("of the heap's first %d pages %d are in memory", all, there)
	}
}

// inMemory returns how many pages between two addresses are in memory, of how many.
func inMemory(t *testing.T, from, to uintptr) (there, all int) {
	t.Helper()
	pages := make([]byte, int(to-from)/syscall.Getpagesize())
	if _, _, failed := syscall.Syscall(syscall.SYS_MINCORE, from, to-from, uintptr(unsafe.Pointer(&pages[0]))); failed != 0 {
		t.Fatal(failed)
	}
	return bytes.Count(pages, []byte{1}), len(pages)
}
