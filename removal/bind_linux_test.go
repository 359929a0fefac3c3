package removal_test

import (
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// bind mounts something at another place, as only root may.
func bind(t *testing.T, what, at string) (unmount func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	if err := unix.Mount(what, at, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("mounting: %v", err)
	}
	unmount = sync.OnceFunc(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(unmount)
	return unmount
}
