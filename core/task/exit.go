package task

import (
	"fmt"
	"slices"
)

// String says in words how the program ended, as in "exit code 1".
func (e Exit) String() string {
	switch {
	case e.OOM:
		return "killed: out of memory"
	case e.Error != "":
		return e.Error
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d", e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Equal reports whether e and other are the same exit.
func (e *Exit) Equal(other *Exit) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.Code == other.Code && e.Signal == other.Signal && e.OOM == other.OOM && e.Error == other.Error &&
		e.At.Equal(other.At) && slices.Equal(e.LastLogs, other.LastLogs)
}
