package cli_test

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/aloft-run/aloft/cli"
)

// TestCollectionIsPutOffOnce: the first collection comes later, and those after it as usual.
func TestCollectionIsPutOffOnce(t *testing.T) { //nolint:paralleltest // it measures the whole process
	t.Setenv("GOGC", "")
	awaitPercent(t, func(percent uint64) bool { return percent < 800 }) // a command may have run in this process
	usual := percent()

	cli.PutOffCollection()
	cli.PutOffCollection()

	if found := percent(); found <= usual {
		t.Fatalf("the heap may grow by %d %%, was %d", found, usual)
	}
	awaitPercent(t, func(percent uint64) bool { return percent == usual })
}

// awaitPercent collects, and waits until the heap may grow by what is wanted.
func awaitPercent(t *testing.T, wanted func(uint64) bool) {
	t.Helper()
	runtime.GC()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !wanted(percent()) {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("the heap may grow by %d %% after a collection", percent())
		}
	}
}

// TestCollectionIsAsTheUserSays: where the environment says by how much the heap may grow, that counts.
func TestCollectionIsAsTheUserSays(t *testing.T) { //nolint:paralleltest // it measures the whole process
	t.Setenv("GOGC", "50")
	usual := percent()

	cli.PutOffCollection()

	if found := percent(); found != usual {
		t.Errorf("the heap may grow by %d %%, was %d", found, usual)
	}
}

// percent is by how much the heap may grow between two collections.
func percent() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
