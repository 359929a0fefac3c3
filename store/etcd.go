package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A page of a load holds at most pageKeysMax pairs. It begins smaller, for packs much, and
// later pages aim at pageBytes, so that large values do not fill the memory.
const (
	pageKeysFirst = 1_000
	packsFirst    = 50
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
	packFrom   int           // operations from which on a commit's new keys share packs
	book       book

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

// What stands below these parts of the prefix: keys that have a pair of etcd's each, and
// packs of keys.
const dataPart, packPart = "data/", "pack/"

func (e *etcd) dataKey(key string) string {
	return e.prefix + dataPart + key
}

// Load reads page by page, all at the revision of the first: first the packs, and then
// what has pairs of its own, among which it puts what they say.
func (e *etcd) Load(
	ctx context.Context, prefix string, visit func(key string, value []byte) error,
) (revision int64, err error) {
	drops := e.book.dropped()
	now, err := e.leader(ctx)
	if err != nil {
		return 0, err
	}
	p := newPlaces()
	packed, revision, err := e.packed(ctx, p, prefix)
	if err != nil {
		return 0, err
	}
	own := len(e.dataKey(""))
	_, err = e.pages(ctx, e.dataKey(prefix), revision, pageKeysFirst, func(key string, value []byte) error {
		key = key[own:]
		p.put(p.digestOf(key), alone)
		for ; len(packed) > 0 && string(packed[0].Key) < key; packed = packed[1:] {
			if err := visit(string(packed[0].Key), packed[0].Value); err != nil {
				return err
			}
		}
		return visit(key, value)
	})
	for _, pair := range packed {
		if err == nil {
			err = visit(string(pair.Key), pair.Value)
		}
	}
	if err == nil && prefix == "" {
		e.book.fill(now.epoch, p, drops)
	}
	return revision, err
}

// packed returns what packs hold of keys that begin with prefix, by key, and notes where.
func (e *etcd) packed(ctx context.Context, p *places, prefix string) (pairs []Pair, revision int64, err error) {
	var packs []*pack
	own := e.prefix + packPart
	revision, err = e.pages(ctx, own, 0, packsFirst, func(key string, value []byte) error {
		packs = append(packs, &pack{name: key[len(own):], value: value})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if err := p.fill(packs); err != nil {
		return nil, 0, err
	}
	pairs = below([]byte(prefix), p.newestOf(packs))
	slices.SortFunc(pairs, func(a, b Pair) int { return bytes.Compare(a.Key, b.Key) })
	return pairs, revision, nil
}

// pages visits the pairs whose keys begin with begin, in order, as they all were at a
// revision; 0 is that of now. It returns which it was. The first page has so many.
func (e *etcd) pages(
	ctx context.Context, begin string, revision int64, first int, visit func(key string, value []byte) error,
) (int64, error) {
	end := clientv3.GetPrefixRangeEnd(begin)
	for limit := first; ; {
		page, err := e.get(ctx, begin,
			clientv3.WithRange(end), clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision))
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = page.Header.GetRevision()
		}
		size := 0
		for _, pair := range page.Kvs {
			size += len(pair.Key) + len(pair.Value)
			if err := visit(string(pair.Key), pair.Value); err != nil {
				return revision, err
			}
		}
		if !page.More {
			return revision, nil
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

// nextPage returns how many pairs the next page should hold, after one of so
// many pairs and bytes.
func nextPage(pairs, size int) int {
	return min(max(pairs*pageBytes/max(size, 1), 1), pageKeysMax)
}

// checkFormat returns the number of the data's format. It marks data that has none with
// ours, and refuses that of a newer one. What has a number is only read: the store may be
// full.
func (e *etcd) checkFormat(ctx context.Context) (format string, err error) {
	key := e.versionKey()
	known, err := e.get(ctx, key)
	if err != nil {
		return "", err
	}
	for _, pair := range known.Kvs {
		return string(pair.Value), checkFormat(string(pair.Value))
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
		return formatText(), err
	}
	for _, pair := range answer.Responses[0].GetResponseRange().Kvs {
		format = string(pair.Value)
	}
	return format, checkFormat(format)
}

// whileOpen returns a context that is done, too, when e closes. The caller must call done.
func (e *etcd) whileOpen(ctx context.Context) (bounded context.Context, done func()) {
	bounded, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-e.closing:
			stop(ErrClosed)
		case <-bounded.Done():
		}
	})
	return bounded, func() {
		stop(nil)
		watching.Wait()
	}
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
