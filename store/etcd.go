package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// A page of a load holds at most pageKeysMax pairs. It begins smaller, and later
// pages aim at pageBytes, so that large values do not fill the memory.
const (
	pageKeysFirst = 1_000
	pageKeysMax   = 10_000
	pageBytes     = 8 << 20
)

// etcd is the Backend over a client, whose server may be in this process.
type etcd struct {
	client   *clientv3.Client
	member   *member // nil for an outside cluster
	prefix   string
	leaseTTL time.Duration
	log      *slog.Logger

	closing chan struct{}
	guards  sync.WaitGroup
}

func (e *etcd) leaderKey() string  { return e.prefix + "leader" }
func (e *etcd) versionKey() string { return e.prefix + "version" }
func (e *etcd) presenceKey(name string) string {
	return e.prefix + "present/" + name
}

func (e *etcd) dataKey(key string) string {
	return e.prefix + "data/" + key
}

// Commit writes ops in one transaction that compares the revision at which the
// leader's key was made. The key is made only where none is, so that the
// revision names one term.
func (e *etcd) Commit(ctx context.Context, epoch uint64, ops []Op) (revision int64, err error) {
	writes := make([]clientv3.Op, 0, len(ops))
	for _, op := range ops {
		if op.Delete {
			writes = append(writes, clientv3.OpDelete(e.dataKey(op.Key)))
		} else {
			writes = append(writes, clientv3.OpPut(e.dataKey(op.Key), string(op.Value)))
		}
	}
	answer, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", int64(epoch))).
		Then(writes...).
		Commit()
	switch {
	case err != nil && len(ops) > 0 && !refused(err):
		return 0, fmt.Errorf("%w: %w", ErrInDoubt, because(ctx, err))
	case err != nil:
		return 0, because(ctx, err)
	case !answer.Succeeded:
		return 0, ErrDeposed
	}
	return answer.Header.GetRevision(), nil
}

// refused says that etcd answered that it wrote nothing. Every other error, a
// lost answer among them, leaves the outcome open.
func refused(err error) bool {
	var answer rpctypes.EtcdError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code() {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated:
		return true
	default:
		return false
	}
}

// because returns why ctx is done if it is, since etcd says less, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Load reads page by page, all at the revision of the first.
func (e *etcd) Load(
	ctx context.Context, prefix string, visit func(key string, value []byte) error,
) (revision int64, err error) {
	begin := e.dataKey(prefix)
	end := clientv3.GetPrefixRangeEnd(begin)
	limit := pageKeysFirst
	for {
		page, err := e.client.Get(ctx, begin,
			clientv3.WithRange(end), clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision))
		if err != nil {
			return 0, because(ctx, err)
		}
		if revision == 0 {
			revision = page.Header.GetRevision()
		}
		size, err := e.visit(page.Kvs, visit)
		if err != nil || !page.More {
			return revision, err
		}
		begin = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		limit = nextPage(len(page.Kvs), size)
	}
}

// visit hands the pairs over and returns how many bytes they took.
func (e *etcd) visit(pairs []*mvccpb.KeyValue, visit func(key string, value []byte) error) (size int, err error) {
	own := len(e.dataKey(""))
	for _, pair := range pairs {
		size += len(pair.Key) + len(pair.Value)
		if err := visit(string(pair.Key[own:]), pair.Value); err != nil {
			return size, err
		}
	}
	return size, nil
}

// nextPage returns how many pairs the next page should hold, after one of so
// many pairs and bytes.
func nextPage(pairs, size int) int {
	return min(max(pairs*pageBytes/max(size, 1), 1), pageKeysMax)
}

// checkFormat marks data that has no format number with ours, and refuses that
// of a newer one.
func (e *etcd) checkFormat(ctx context.Context) error {
	key := e.versionKey()
	answer, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, formatText())).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return because(ctx, err)
	}
	if answer.Succeeded {
		return nil
	}
	for _, pair := range answer.Responses[0].GetResponseRange().Kvs {
		return checkFormat(string(pair.Value))
	}
	return nil
}

// Close stops the guards of the terms, the client and the member, in this order.
func (e *etcd) Close() error {
	close(e.closing)
	e.guards.Wait()
	err := e.client.Close()
	if errors.Is(err, context.Canceled) {
		err = nil // the client's way to say that it is closed
	}
	if e.member != nil {
		err = errors.Join(err, e.member.close())
	}
	return err
}
