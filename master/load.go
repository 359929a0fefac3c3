package master

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

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
	whole, remains := withoutRemains(records)
	dropped := revision
	if len(remains) > 0 {
		cfg.Log.WarnContext(ctx, "records of a commit that broke off are dropped", slog.Int("records", len(remains)))
		if dropped, err = drop(ctx, term, remains); err != nil {
			return nil, fmt.Errorf("drop what a broken commit left: %w", err)
		}
	}
	e := engine.New(engine.Config{Epoch: term.Epoch(), Restores: store.Restores(term.Epoch()), SuspectAfter: cfg.SuspectAfter, EndedMax: cfg.EndedMax, EndedFor: cfg.EndedFor, Zones: time.LoadLocation, Together: together})
	var showing sync.WaitGroup
	var view *view
	showing.Go(func() { // records are never changed
		view = newView(cfg, records, revision)
		view.apply(dropped, engine.Changes{Records: remains}) // for watches that resume
	})
	err = e.Load(slices.Values(whole))
	showing.Wait()
	if err != nil {
		return nil, fmt.Errorf("load the cluster: %w", err)
	}
	r := &reign{
		cfg: cfg, term: term, engine: e, metrics: metrics, since: time.Now(),
		view:     view,
		hub:      newHub(),
		asker:    newConfirmer(term),
		pace:     newPace(),
		requests: make(chan request),
		words:    make(chan request),
		awaited:  make(chan request),
		crew:     newCrew(runtime.GOMAXPROCS(0)),
		entered:  make(chan struct{}, cfg.CallsMax),
		door:     newDoor(rushPlaces(len(view.kinds[engine.AgentKind]))),
		joining:  make(chan struct{}, joinsMax),
		large:    make(chan struct{}, largeMax),
		handOver: make(chan struct{}),
		over:     make(chan struct{}),
		recalled: make(chan struct{}),

		recallNow: make(chan struct{}, 1),
		loaded:    len(records),
		answered:  make(chan struct{}),
	}
	r.answer = sync.OnceFunc(func() { close(r.answered) })
	r.hub.publishTable(e.Table())
	return r, nil
}

// together calls functions at the same time, and returns when all have ended.
func together(parts ...func()) {
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(part)
	}
	running.Wait()
}

// readRecords reads all that is kept, in no order. Nobody but this term can write
// meanwhile.
func readRecords(ctx context.Context, term *store.Term) (records []engine.Record, revision int64, err error) {
	readers := sync.Pool{New: func() any { return new(wire.Reader) }}
	var mu sync.Mutex // guards portions
	var portions [][]engine.Record
	revision, err = term.Scan(ctx, "", func(portion int, pairs []store.Pair) error {
		reader := readers.Get().(*wire.Reader)
		decoded, err := decodeRecords(reader, pairs)
		readers.Put(reader)
		mu.Lock()
		defer mu.Unlock()
		if missing := portion + 1 - len(portions); missing > 0 {
			portions = append(portions, make([][]engine.Record, missing)...)
		}
		portions[portion] = decoded
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the cluster: %w", err)
	}
	return slices.Concat(portions...), revision, nil
}

// decodeRecords reads records, and checks that each stands where it belongs.
func decodeRecords(reader *wire.Reader, pairs []store.Pair) ([]engine.Record, error) {
	records := make([]engine.Record, 0, len(pairs))
	for _, p := range pairs {
		if !wire.IsRecord(p.Key) {
			continue
		}
		record, err := reader.Unmarshal(p.Value)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", p.Key, err)
		}
		if !wire.StandsAt(record, p.Key) {
			return nil, fmt.Errorf("record %s says that it is %s", p.Key, wire.StoreKey(record.Key()))
		}
		records = append(records, record)
	}
	return records, nil
}

// withoutRemains parts the cluster from what a commit left that was too large
// for one transaction and broke off: what belongs to a service that had not come
// yet or was already gone, and what the service does not know of yet. The remains are
// returned as their deletion.
func withoutRemains(records []engine.Record) (cluster []engine.Record, remains []engine.Change) {
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
	cluster = make([]engine.Record, 0, len(records))
	var of *engine.Service // that of the task before: most are together
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
			if of == nil || of.Name != r.Service {
				of = services[r.Service]
			}
			whole = of != nil && (!r.Status.State.Ended() || revisions[engine.RevisionKey(r.Service, r.Revision)])
		}
		if whole {
			cluster = append(cluster, record)
		} else {
			remains = append(remains, engine.Change{Key: record.Key()})
		}
	}
	return cluster, remains
}

// drop deletes for good what a commit left, and returns the revision.
func drop(ctx context.Context, term *store.Term, remains []engine.Change) (revision int64, err error) {
	ops, err := operations(remains)
	if err != nil {
		return 0, err
	}
	return term.Commit(ctx, ops)
}
