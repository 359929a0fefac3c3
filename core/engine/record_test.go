package engine_test

import (
	"reflect"
	"testing"

	"github.com/aloft-run/aloft/core/engine"
)

// TestATaskIsSmall holds the record of a task to 384 bytes: Go gives a larger one 416, of
// which a master may have a million.
func TestATaskIsSmall(t *testing.T) {
	t.Parallel()
	const most = 384

	if size := reflect.TypeFor[engine.Task]().Size(); size > most {
		t.Errorf("the record of a task has %d bytes, want at most %d", size, most)
	}
}
