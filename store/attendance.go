package store

import (
	"context"
	"errors"
	"fmt"
)

// Announce tells all others that this process is there, under a name and with a
// value such as its address, until ctx is done: then it takes that back and
// returns the cause. When etcd could not be reached for longer than the lease it
// announces again by itself. A name is of whoever announced it last.
//
// Whoever dies is seen for as long as a term outlives its process. So it is
// after Close, which does not take the announcement back.
func (s *Store) Announce(ctx context.Context, name, value string) error {
	if name == "" {
		return errors.New("announce: the name is empty")
	}
	if err := check([]Op{{Key: name, Value: []byte(value)}}, s.limits); err != nil {
		return fmt.Errorf("announce %s: %w", name, err)
	}
	ctx, done := s.call(ctx, nil)
	defer done()
	if ctx.Err() != nil {
		return fmt.Errorf("announce %s: %w", name, context.Cause(ctx))
	}
	return fmt.Errorf("announce %s: %w", name, s.backend.Announce(ctx, name, value))
}

// Announced returns what all processes that are there have announced: values by
// name.
func (s *Store) Announced(ctx context.Context) (map[string]string, error) {
	ctx, done := s.call(ctx, nil)
	defer done()
	values, err := s.backend.Announced(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask who is there: %w", err)
	}
	return values, nil
}
