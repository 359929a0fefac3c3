package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrDamaged says that a snapshot was changed or cut short since it was made.
var ErrDamaged = errors.New("the snapshot is damaged or cut short")

// greetWithin bounds the first answer of a server that is to make a snapshot.
const greetWithin = 2 * time.Second

// archiver is what a Backend has besides when it can be saved.
type archiver interface {
	Snapshot(ctx context.Context, w io.Writer) (revision int64, err error)
}

// Snapshot writes all that the store holds to w while it goes on working, and
// returns a revision: what was committed up to that is there, and maybe more.
// It is a snapshot as etcd's own tools make it; Restore reads it. After an error
// what was written is of no use.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) (revision int64, err error) {
	backend, ok := s.backend.(archiver)
	if !ok {
		return 0, errors.New("snapshot: this store is not kept anywhere")
	}
	ctx, done := s.call(ctx, nil)
	defer done()
	revision, err = backend.Snapshot(ctx, w)
	if err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	return revision, nil
}

// Snapshot asks one server for both, the revision and what it holds: another one
// may be behind.
func (e *etcd) Snapshot(ctx context.Context, w io.Writer) (revision int64, err error) {
	if e.embedded != nil {
		return e.snapshotOf(ctx, e.client, w)
	}
	counted := &counter{w: w}
	for _, endpoint := range e.client.Endpoints() {
		revision, err = e.snapshotAt(ctx, endpoint, counted)
		if err == nil || counted.n > 0 || ctx.Err() != nil {
			return revision, err
		}
	}
	return 0, err
}

func (e *etcd) snapshotAt(ctx context.Context, endpoint string, w io.Writer) (revision int64, err error) {
	client, err := e.dial(endpoint)
	if err != nil {
		return 0, err
	}
	defer func() { _ = client.Close() }()
	return e.snapshotOf(ctx, client, w)
}

// snapshotOf copies what a server holds when it knows all that was committed
// until now.
func (e *etcd) snapshotOf(ctx context.Context, client *clientv3.Client, w io.Writer) (revision int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	asking, done := context.WithTimeoutCause(ctx, greetWithin, fmt.Errorf("no answer within %v", greetWithin))
	defer done()
	answer, err := client.Get(asking, e.versionKey())
	if err != nil {
		return 0, cmp.Or(context.Cause(asking), err)
	}
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return 0, cmp.Or(context.Cause(ctx), err)
	}
	defer func() { _ = stream.Close() }()
	sum := newChecksum()
	if _, err := io.Copy(io.MultiWriter(w, sum), stream); err != nil {
		return 0, cmp.Or(context.Cause(ctx), err)
	}
	return answer.Header.GetRevision(), sum.check()
}

// checksum is given a snapshot, which ends in the sum of what is before.
type checksum struct {
	hash hash.Hash
	last []byte // not hashed, since they may be the sum
}

func newChecksum() *checksum { return &checksum{hash: sha256.New()} }

func (c *checksum) Write(p []byte) (n int, err error) {
	c.last = append(c.last, p...)
	if more := len(c.last) - sha256.Size; more > 0 {
		c.hash.Write(c.last[:more]) // it never fails
		c.last = append(c.last[:0], c.last[more:]...)
	}
	return len(p), nil
}

// check returns ErrDamaged unless the sum is right.
func (c *checksum) check() error {
	if !bytes.Equal(c.last, c.sum()) {
		return ErrDamaged
	}
	return nil
}

func (c *checksum) sum() []byte { return c.hash.Sum(nil) }

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (n int, err error) {
	n, err = c.w.Write(p)
	c.n += int64(n)
	return n, err
}
