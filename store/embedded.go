package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	lessor "go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.uber.org/zap"

	_ "github.com/aloft-run/aloft/unmetered" // etcd's metrics
)

// handOverWithin bounds the wait of a raft leader that ends for another one, and
// publishedWithin that of a new member for the others to know its name.
const (
	handOverWithin  = time.Second
	publishedWithin = time.Second
)

// embedded is an etcd member in this process, and the folder that it works in.
type embedded struct {
	server *embed.Etcd
	folder *folder
}

// startEmbedded starts the member, which serves when a majority of its cluster is
// there. When its disk fails later, etcd logs that and ends the process: it cannot
// know any more what it has promised.
func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	home, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	m := &embedded{folder: home}
	if err := checkDisk(cfg.DataDir); err != nil {
		return nil, errors.Join(err, m.close())
	}
	if err := m.start(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd in %s: %w", home.member(), err), m.close())
	}
	return m, nil
}

func (m *embedded) start(ctx context.Context, cfg Config) error {
	settings, err := memberSettings(cfg, m.folder.member())
	if err != nil {
		return err
	}
	if err := introduce(ctx, cfg, settings); err != nil {
		return err
	}
	if m.server, err = embed.StartEtcd(settings); err != nil {
		return err
	}
	return m.checkCompany(cfg)
}

// checkCompany refuses to wait where the member would wait for ever: it is out of
// its cluster, or the others could not reach it.
func (m *embedded) checkCompany(cfg Config) error {
	server := m.server.Server
	if server.IsIDRemoved(uint64(server.MemberID())) {
		return ErrRemoved
	}
	if held := len(server.Cluster().Members()); held > 1 && len(cfg.Cluster) == 0 {
		return fmt.Errorf("the data is of a cluster of %d, and Cluster does not say where the others reach this member", held)
	}
	return nil
}

// checkAlone refuses data of a member that has always been alone where several
// are wanted: it would go on alone while the others make a cluster without it,
// and two would lead. One whose cluster has grown, or shrunk, since it was told
// what Cluster says comes back as what it is.
func (m *embedded) checkAlone(cfg Config) error {
	wanted := len(cfg.Cluster)
	if held := len(m.server.Server.Cluster().Members()); held > 1 || wanted <= 1 {
		return nil
	}
	_, removed := schema.NewMembershipBackend(zap.NewNop(), m.server.Server.Backend()).MustReadMembersFromBackend()
	if len(removed) > 0 {
		return nil
	}
	return fmt.Errorf("the data is of a cluster of 1, and Cluster is of %d; start it with itself in Cluster, and add the others", wanted)
}

// led waits until the member knows of a raft leader.
func (m *embedded) led(ctx context.Context) error {
	changed := m.leaderChanged()
	if m.server.Server.Leader() != 0 {
		return nil
	}
	select {
	case <-changed:
		return nil
	case err := <-m.server.Err():
		return err
	case <-m.server.Server.StopNotify():
		return m.whyStopped(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// published waits a little until the others know the member's name. That may be
// lost on the way while they elect a leader, and then comes much later.
func (m *embedded) published(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, publishedWithin)
	defer done()
	select {
	case <-m.server.Server.ReadyNotify():
	case <-m.server.Server.StopNotify():
	case <-ctx.Done():
	}
}

// leaderChanged returns a channel that is closed when another member leads the
// raft group; nil if this member is nil.
func (m *embedded) leaderChanged() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.server.Server.LeaderChangedNotify()
}

// stopped says that the member, which may be nil, answers nobody any more.
func (m *embedded) stopped() bool {
	if m == nil {
		return false
	}
	select {
	case <-m.server.Server.StopNotify():
		return true
	default:
		return false
	}
}

// whileServing returns a context that is done, too, when the member, which may be
// nil, stops: a watch in it goes on without a word. The caller must call done.
func (m *embedded) whileServing(ctx context.Context) (bounded context.Context, done func()) {
	bounded, stop := context.WithCancel(ctx)
	if m == nil {
		return bounded, stop
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-m.server.Server.StopNotify():
			stop()
		case <-bounded.Done():
		}
	})
	return bounded, func() {
		stop()
		watching.Wait()
	}
}

// whyStopped returns why a member has stopped. One that is told that it was
// removed stops, but etcd keeps the reason to itself: so the others are asked.
func (m *embedded) whyStopped(ctx context.Context) error {
	server := m.server.Server
	own := server.MemberID()
	if server.IsIDRemoved(uint64(own)) {
		return ErrRemoved
	}
	for _, other := range server.Cluster().Members() {
		if other.ID == own {
			continue
		}
		list, err := askPeer(ctx, urlOf(other))
		if err == nil && !slices.ContainsFunc(list, func(m *membership.Member) bool { return m.ID == own }) {
			return ErrRemoved
		}
	}
	return ErrStopped
}

// renew asks once for a renewal of a lease, through the member that leads.
func (m *embedded) renew(ctx context.Context, id clientv3.LeaseID) error {
	_, err := m.server.Server.LeaseRenew(ctx, lessor.LeaseID(id))
	if errors.Is(err, lessor.ErrLeaseNotFound) {
		return rpctypes.ErrLeaseNotFound
	}
	return err
}

// alone says that the member, which may be nil, is the only one of its cluster.
func (m *embedded) alone() bool {
	return m != nil && len(m.server.Server.Cluster().Members()) == 1
}

// close stops what was started of the member, and gives the folder back. If the
// member leads the raft group it has another one lead, so that the others need
// not wait for an election; but not for long, since there may be none to take it.
func (m *embedded) close() error {
	if m.server != nil {
		var moving sync.WaitGroup
		moved := make(chan struct{})
		moving.Go(func() {
			defer close(moved)
			_ = m.server.Server.TryTransferLeadershipOnShutdown()
		})
		select {
		case <-moved:
		case <-time.After(handOverWithin):
		}
		m.server.Server.HardStop() // which ends the handing over, too
		moving.Wait()
		m.server.Close()
	}
	return m.folder.close()
}
