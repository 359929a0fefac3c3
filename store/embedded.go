package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	lessor "go.etcd.io/etcd/server/v3/lease"
)

// What an embedded member takes. The request bounds a transaction with all that
// frames it.
const (
	memberOpsMax      = 10_000
	memberBytesMax    = 16 << 20
	requestSpareBytes = 1 << 20
	quotaBytes        = 8 << 30
)

// historyKept is how long old revisions are kept: long enough for a load. When
// more than defragAtFree of the file is free at the start, the file is made
// smaller: etcd maps all of it into memory.
const (
	historyKept      = "1m"
	defragAtFreeMega = 64
)

// A member that is alone elects itself within an election timeout, so a short
// one makes it ready at once.
//
// Among several, nothing can be written from the death of the raft leader until
// the others have missed its heartbeats for one to two election timeouts, at
// random: 0.7 s in the mean of three. A timeout of ten heartbeats lets nine of
// them be lost or late, by a network or by a disk that takes its time to sync,
// before anybody asks for an election; and who asks without need gets no votes
// from members that hear the leader (pre-vote), so that a stall costs nothing
// where the leader goes on. etcd's own 100 ms and 1 s, made for members on
// several continents, would double the gap.
//
// The shortest lease follows from it: one and a half timeouts, rounded up to 1 s.
const (
	aloneTickMillis, aloneElectionMillis = 20, 100
	manyTickMillis, manyElectionMillis   = 50, 500
)

// A snapshot lets go of the log before it, which is held in memory, and read
// again at the next start. Only among several does anybody need to catch up.
const (
	aloneSnapshotEvery, aloneCatchUp = 500, 1
	manySnapshotEvery, manyCatchUp   = 5_000, 1_000
)

// nowhere stands for the URL of a member that no other one reaches.
const nowhere = "http://localhost:0"

// embedded is an etcd member in this process, and the folder that it works in.
type embedded struct {
	server *embed.Etcd
	folder *folder
}

// startEmbedded starts the member and waits until it serves: until a majority of
// its cluster is there. When its disk fails later, etcd logs that and ends the
// process: it cannot know any more what it has promised.
func startEmbedded(ctx context.Context, cfg Config) (*embedded, error) {
	home, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	settings, err := memberSettings(cfg, home.member())
	if err != nil {
		return nil, errors.Join(err, home.close())
	}
	server, err := embed.StartEtcd(settings)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd in %s: %w", home.member(), err), home.close())
	}
	m := &embedded{server: server, folder: home}
	err = m.ready(ctx)
	if err == nil {
		err = m.checkCompany(cfg)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd in %s: %w", home.member(), err), m.close())
	}
	return m, nil
}

// checkCompany refuses data of a member that was alone where several are wanted:
// it would go on alone while the others make a cluster without it, and two would
// lead. The other way round it would wait for the others for ever.
func (m *embedded) checkCompany(cfg Config) error {
	held, wanted := len(m.server.Server.Cluster().Members()), max(len(cfg.Cluster), 1)
	if (held == 1) != (wanted == 1) {
		return fmt.Errorf("the data is of a cluster of %d, and Cluster is of %d", held, wanted)
	}
	return nil
}

// ready waits until the member serves.
func (m *embedded) ready(ctx context.Context) error {
	select {
	case <-m.server.Server.ReadyNotify():
		return nil
	case err := <-m.server.Err():
		return err
	case <-m.server.Server.StopNotify():
		return errors.New("it stopped")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// renew asks once for a renewal of a lease, through the member that leads.
func (m *embedded) renew(ctx context.Context, id clientv3.LeaseID) error {
	_, err := m.server.Server.LeaseRenew(ctx, lessor.LeaseID(id))
	if errors.Is(err, lessor.ErrLeaseNotFound) {
		return rpctypes.ErrLeaseNotFound
	}
	return err
}

// gone returns why the member, which may be nil, answers nobody any more, or nil.
func (m *embedded) gone() error {
	if m == nil {
		return nil
	}
	select {
	case <-m.server.Server.StopNotify():
		return errors.New("the etcd member has stopped")
	default:
		return nil
	}
}

func (m *embedded) close() error {
	m.server.Close()
	return m.folder.close()
}

func memberSettings(cfg Config, dir string) (*embed.Config, error) {
	s := embed.NewConfig()
	s.Name, s.Dir, s.InitialClusterToken = cfg.Name, dir, "aloft"
	s.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZap(cfg.Log))
	s.MaxTxnOps, s.MaxRequestBytes = memberOpsMax, memberBytesMax
	s.QuotaBackendBytes = quotaBytes
	s.AutoCompactionMode, s.AutoCompactionRetention = embed.CompactorModePeriodic, historyKept
	s.BootstrapDefragThresholdMegabytes = defragAtFreeMega
	s.EnableGRPCGateway = false
	s.AuthToken = "" // nobody logs in
	s.TickMs, s.ElectionMs = aloneTickMillis, aloneElectionMillis
	s.SnapshotCount, s.SnapshotCatchUpEntries = aloneSnapshotEvery, aloneCatchUp
	if len(cfg.Cluster) > 1 {
		s.TickMs, s.ElectionMs = manyTickMillis, manyElectionMillis
		s.SnapshotCount, s.SnapshotCatchUpEntries = manySnapshotEvery, manyCatchUp
	}
	return s, setURLs(s, cfg)
}

// setURLs says where the member listens: nowhere when it is alone, since this
// process speaks to it without a socket.
func setURLs(s *embed.Config, cfg Config) error {
	own := cfg.Cluster[cfg.Name]
	s.InitialCluster = cfg.Name + "=" + nowhere
	if own == "" {
		own = nowhere
	} else {
		s.InitialCluster = initialCluster(cfg.Cluster)
	}
	var problems [3]error
	s.AdvertisePeerUrls, problems[0] = parseURLs(own)
	s.ListenPeerUrls, problems[1] = parseURLs(cfg.ListenPeer)
	s.ListenClientUrls, problems[2] = parseURLs(cfg.ListenClient)
	s.AdvertiseClientUrls = s.ListenClientUrls
	return errors.Join(problems[:]...)
}

// initialCluster writes the members as etcd wants them: m1=url,m2=url.
func initialCluster(members map[string]string) string {
	list := make([]string, 0, len(members))
	for name, peer := range members {
		list = append(list, name+"="+peer)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// parseURLs returns no URL for an empty text.
func parseURLs(text string) ([]url.URL, error) {
	if text == "" {
		return nil, nil
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse a URL of the store: %w", err)
	}
	return []url.URL{*parsed}, nil
}
