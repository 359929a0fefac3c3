package engine

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart. Each comes with a text that names what was
// asked for and why it was refused; after any of them nothing has changed.
var (
	// ErrUnknown is the error for a name that is not in the cluster.
	ErrUnknown = errors.New("unknown")
	// ErrStale is the error for a write based on a record that has changed since.
	ErrStale = errors.New("changed since it was read")
	// ErrInvalid is the error for a request that can never succeed as it is.
	ErrInvalid = errors.New("invalid")
	// ErrConflict is the error for a request that the state of the cluster
	// forbids now: a route that another service has, a pool in use.
	ErrConflict = errors.New("conflict")
)

func unknown[T ~string](what string, name T) error {
	return fmt.Errorf("%w %s: %s", ErrUnknown, what, string(name))
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConflict, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// fresh returns an error that wraps ErrStale unless based is 0 or current.
func fresh[T ~string](what string, name T, based, current int64) error {
	if based == 0 || based == current {
		return nil
	}
	return fmt.Errorf("%s %s %w: the request is based on version %d, it is at %d", what, string(name), ErrStale, based, current)
}
