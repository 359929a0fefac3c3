package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
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
	kv       etcdserverpb.KVServer                               // of the member in this process; nil for an outside cluster
	embedded *embedded                                           // nil for an outside cluster
	dial     func(endpoints ...string) (*clientv3.Client, error) // another client of an outside cluster
	prefix   string
	leaseTTL time.Duration
	log      *slog.Logger

	committing chan struct{} // holds whoever commits, who owns commits
	commits    uint64        // begun by this process

	quota     int64         // of the embedded member, in bytes
	tendEvery time.Duration // how often its room is looked after
	terms     atomic.Int32  // that this process holds

	closing chan struct{}
	guards  sync.WaitGroup
}

func (e *etcd) leaderKey() string  { return e.prefix + "leader" }
func (e *etcd) commitKey() string  { return e.prefix + "commit" }
func (e *etcd) versionKey() string { return e.prefix + "version" }
func (e *etcd) memberKey(peerURL string) string {
	return e.prefix + "member/" + peerURL
}

func (e *etcd) presenceKey(name string) string {
	return e.prefix + "present/" + name
}

func (e *etcd) dataKey(key string) string {
	return e.prefix + "data/" + key
}

// Load reads page by page, all at the revision of the first.
func (e *etcd) Load(
	ctx context.Context, prefix string, visit func(key string, value []byte) error,
) (revision int64, err error) {
	begin := e.dataKey(prefix)
	end := clientv3.GetPrefixRangeEnd(begin)
	limit := pageKeysFirst
	for {
		page, err := e.get(ctx, begin,
			clientv3.WithRange(end), clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision))
		if err != nil {
			return 0, err
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

// get insists on an answer to a question about keys.
func (e *etcd) get(
	ctx context.Context, key string, options ...clientv3.OpOption,
) (answer *clientv3.GetResponse, err error) {
	err = e.insist(ctx, func(ctx context.Context) (err error) {
		answer, err = e.client.Get(ctx, key, options...)
		return err
	})
	return answer, err
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
// of a newer one. What has a number is only read: the store may be full.
func (e *etcd) checkFormat(ctx context.Context) error {
	key := e.versionKey()
	known, err := e.get(ctx, key)
	if err != nil {
		return err
	}
	for _, pair := range known.Kvs {
		return checkFormat(string(pair.Value))
	}
	var answer *clientv3.TxnResponse
	err = e.propose(ctx, func(ctx context.Context) (err error) {
		answer, err = e.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, formatText())).
			Else(clientv3.OpGet(key)).
			Commit()
		return err
	})
	if err != nil || answer.Succeeded {
		return err
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
	if e.embedded != nil {
		err = errors.Join(err, e.embedded.close())
	}
	return err
}
