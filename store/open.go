package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
)

// An outside cluster that says nothing for so long is asked whether it is there.
const (
	pingEvery  = 10 * time.Second
	pongWithin = 5 * time.Second
)

// Open starts the embedded member, or connects to the outside cluster, and
// returns when the state can be read: for a member among several, when most of
// them are there, and for one that joins, when it has caught up and votes. It
// refuses a data folder that another process works in (ErrLocked), data of a
// newer program (ErrNewerData), and of a member that was removed (ErrRemoved).
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("store config: %w", err)
	}
	e := &etcd{
		prefix:     cfg.Prefix,
		leaseTTL:   cfg.LeaseTTL,
		log:        cfg.Log,
		quota:      cfg.Quota,
		tendEvery:  cfg.TendEvery,
		packFrom:   cfg.Limits.Packed,
		committing: make(chan struct{}, 1), // holds the one commit that is under way
		closing:    make(chan struct{}),
	}
	if err := e.open(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return New(e, cfg.Limits), nil
}

func (e *etcd) open(ctx context.Context, cfg Config) (err error) {
	if cfg.outside() {
		err = e.connect(cfg)
	} else {
		err = e.start(ctx, cfg)
	}
	if err != nil {
		return err
	}
	if err := e.greet(ctx, cfg); err != nil {
		return errors.Join(err, e.Close())
	}
	return nil
}

// start starts the embedded member, to which the client speaks without a socket.
func (e *etcd) start(ctx context.Context, cfg Config) (err error) {
	if e.embedded, err = startEmbedded(ctx, cfg); err != nil {
		return err
	}
	e.client = v3client.New(e.embedded.server.Server)
	e.kv = v3rpc.NewQuotaKVServer(e.embedded.server.Server)
	e.tend(ctx)
	if err := e.awake(ctx, cfg); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", where(cfg), err), e.Close())
	}
	return nil
}

// connect makes the client, which dials with its first request.
func (e *etcd) connect(cfg Config) (err error) {
	e.dial = func(endpoints ...string) (*clientv3.Client, error) {
		return clientv3.New(clientv3.Config{
			Endpoints:            endpoints,
			TLS:                  cfg.TLS,
			DialTimeout:          cfg.DialTimeout,
			DialKeepAliveTime:    pingEvery,
			DialKeepAliveTimeout: pongWithin,
			MaxCallSendMsgSize:   cfg.Limits.Bytes + requestSpareBytes,
			Logger:               newZap(cfg.Log),
		})
	}
	if e.client, err = e.dial(cfg.Endpoints...); err != nil {
		return fmt.Errorf("%s: %w", where(cfg), err)
	}
	return nil
}

// where names the state in the words of an error.
func where(cfg Config) string {
	if cfg.outside() {
		return "etcd at " + strings.Join(cfg.Endpoints, ", ")
	}
	return "data folder " + cfg.DataDir
}

// greet makes sure that the state answers and is of a format that we know. What
// a member that is alone now finds of a term is of a dead process, since we hold
// the lock.
func (e *etcd) greet(ctx context.Context, cfg Config) error {
	if cfg.outside() {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, cfg.DialTimeout, fmt.Errorf("no answer within %v", cfg.DialTimeout))
		defer done()
	}
	if _, err := e.checkFormat(ctx); err != nil {
		return fmt.Errorf("%s: %w", where(cfg), err)
	}
	if cfg.ListenClient == "" && e.embedded.alone() {
		return e.evictDead(ctx)
	}
	return nil
}
