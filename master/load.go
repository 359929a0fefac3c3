package master

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// load builds the cluster from the store.
func load(ctx context.Context, cfg Config, metrics *metrics, term *store.Term) (*reign, error) {
	records, revision, err := readRecords(ctx, term)
	if err != nil {
		return nil, err
	}
	records, remains := withoutRemains(records)
	if len(remains) > 0 {
		cfg.Log.WarnContext(ctx, "records of a commit that broke off are dropped", slog.Int("records", len(remains)))
		if revision, err = term.Commit(ctx, remains); err != nil {
			return nil, fmt.Errorf("drop what a broken commit left: %w", err)
		}
	}
	e := engine.New(engine.Config{Epoch: term.Epoch(), Restores: store.Restores(term.Epoch()), SuspectAfter: cfg.SuspectAfter, Zones: time.LoadLocation})
	var showing sync.WaitGroup
	var view *view
	showing.Go(func() { view = newView(cfg, records, revision) }) // records are never changed
	err = e.Load(slices.Values(records))
	showing.Wait()
	if err != nil {
		return nil, fmt.Errorf("load the cluster: %w", err)
	}
	if err := view.recall(ctx, term); err != nil {
		cfg.Log.WarnContext(ctx, "watches of the terms before cannot be resumed", slog.Any("error", err))
	}
	r := &reign{
		cfg: cfg, term: term, engine: e, metrics: metrics, since: time.Now(),
		view:     view,
		hub:      newHub(),
		asker:    newConfirmer(term),
		requests: make(chan request),
		joining:  make(chan struct{}, joinsMax),
		handOver: make(chan struct{}),
		over:     make(chan struct{}),
	}
	r.hub.publishTable(e.Table())
	return r, nil
}

// decodedAtOnce is how many records are decoded by one goroutine, while others
// read and decode those that follow.
const decodedAtOnce = 2_000

// pair is a record as it is kept.
type pair struct {
	key   string
	value []byte
}

// readRecords reads all that is kept, kind by kind and by name. Nobody but this
// term can write meanwhile.
func readRecords(ctx context.Context, term *store.Term) (records []engine.Record, revision int64, err error) {
	decoding, decoded := errgroup.WithContext(ctx)
	decoding.SetLimit(runtime.GOMAXPROCS(0))
	var parts []*[]engine.Record // in order; each is filled by the goroutine that decodes it
	var waiting []pair
	decode := func() {
		if len(waiting) == 0 {
			return
		}
		part, pairs := new([]engine.Record), waiting
		parts, waiting = append(parts, part), make([]pair, 0, decodedAtOnce)
		decoding.Go(func() (err error) {
			*part, err = decodeRecords(pairs)
			return err
		})
	}
	for _, prefix := range wire.Prefixes() {
		at, loading := term.Load(decoded, prefix, func(key string, value []byte) error {
			if waiting = append(waiting, pair{key, value}); len(waiting) >= decodedAtOnce {
				decode()
			}
			return nil
		})
		if loading != nil {
			return nil, 0, cmp.Or(decoding.Wait(), fmt.Errorf("load %s: %w", prefix, loading))
		}
		revision = max(revision, at)
	}
	decode()
	if err := decoding.Wait(); err != nil {
		return nil, 0, err
	}
	for _, part := range parts {
		records = append(records, *part...)
	}
	return records, revision, nil
}

// decodeRecords reads records, and checks that each stands where it belongs.
func decodeRecords(pairs []pair) ([]engine.Record, error) {
	records := make([]engine.Record, 0, len(pairs))
	for _, p := range pairs {
		record, err := wire.Unmarshal(p.value)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", p.key, err)
		}
		if own := wire.StoreKey(record.Key()); own != p.key {
			return nil, fmt.Errorf("record %s says that it is %s", p.key, own)
		}
		records = append(records, record)
	}
	return records, nil
}

// withoutRemains parts the cluster from what a commit left that was too large
// for one transaction and broke off: what belongs to a service that had not come
// yet or was already gone, and what the service does not know of yet. Nobody has
// ever been told of it. The remains are returned as their deletion.
func withoutRemains(records []engine.Record) (cluster []engine.Record, remains []store.Op) {
	services := make(map[id.Service]*engine.Service)
	revisions := make(map[engine.Key]bool)
	for _, record := range records {
		switch r := record.(type) {
		case *engine.Service:
			services[r.Name] = r
		case *engine.Revision:
			revisions[r.Key()] = true
		}
	}
	for _, record := range records {
		whole := true
		switch r := record.(type) {
		case *engine.Revision:
			s := services[r.Service]
			whole = s != nil && r.Number <= s.Newest
		case *engine.Deployment:
			s := services[r.Service]
			whole = s != nil && (r.State.Ended() || s.Deployment == r.ID)
		case *engine.Task:
			whole = services[r.Service] != nil && (!r.Status.State.Ended() || revisions[engine.RevisionKey(r.Service, r.Revision)])
		}
		if whole {
			cluster = append(cluster, record)
		} else {
			remains = append(remains, store.Op{Key: wire.StoreKey(record.Key()), Delete: true})
		}
	}
	return cluster, remains
}
