package store

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// What an embedded member takes. The request bounds a transaction with all that
// frames it.
const (
	memberOpsMax      = 10_000
	memberBytesMax    = 16 << 20
	requestSpareBytes = 1 << 20
	quotaBytes        = 8 << 30
	quotaBytesMin     = 4 << 20
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
// Leases follow from it. The shortest is one and a half timeouts, rounded up to
// 1 s; and a new raft leader lets each begin anew, with a timeout more.
const (
	aloneTickMillis, aloneElectionMillis = 20, 100
	manyTickMillis, manyElectionMillis   = 50, 500
)

// A snapshot lets go of the log before it, which is held in memory, and read
// again at the next start: each of its entries may have megabytes. Only among
// several does anybody need to catch up.
const (
	aloneSnapshotEvery, aloneCatchUp = 50, 1
	manySnapshotEvery, manyCatchUp   = 5_000, 1_000
)

// slowFrom is from when on etcd says that a transaction takes long, and writes all of it
// into that line. Those of a large launch, beside much else, may take 100 ms as a matter
// of course.
const slowFrom = 500 * time.Millisecond

// joiningMax is how many members may be added that do not vote yet.
const joiningMax = 8

// nowhere stands for the URL of a member that no other one reaches.
const nowhere = "http://localhost:0"

func memberSettings(cfg Config, dir string) (*embed.Config, error) {
	s := embed.NewConfig()
	s.Name, s.Dir, s.InitialClusterToken = cfg.Name, dir, "aloft"
	s.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZap(cfg.Log))
	s.MaxTxnOps, s.MaxRequestBytes = memberOpsMax, memberBytesMax
	s.QuotaBackendBytes = cfg.Quota
	s.AutoCompactionMode, s.AutoCompactionRetention = embed.CompactorModePeriodic, historyKept
	s.BootstrapDefragThresholdMegabytes = defragAtFreeMega
	s.EnableGRPCGateway = false
	s.AuthToken = "" // nobody logs in
	s.TickMs, s.ElectionMs = aloneTickMillis, aloneElectionMillis
	s.SnapshotCount, s.SnapshotCatchUpEntries = aloneSnapshotEvery, aloneCatchUp
	s.MaxLearners = joiningMax
	s.WarningApplyDuration = slowFrom
	if len(cfg.Cluster) > 0 {
		s.TickMs, s.ElectionMs = manyTickMillis, manyElectionMillis
		s.SnapshotCount, s.SnapshotCatchUpEntries = manySnapshotEvery, manyCatchUp
	}
	return s, setURLs(s, cfg)
}

// setURLs says where the member listens: nowhere when it is alone, since this
// process speaks to it without a socket.
func setURLs(s *embed.Config, cfg Config) error {
	var own string
	own, s.InitialCluster = clusterOf(cfg)
	var problems [3]error
	s.AdvertisePeerUrls, problems[0] = parseURLs(own)
	s.ListenPeerUrls, problems[1] = parseURLs(cfg.ListenPeer)
	s.ListenClientUrls, problems[2] = parseURLs(cfg.ListenClient)
	s.AdvertiseClientUrls = s.ListenClientUrls
	if len(s.AdvertiseClientUrls) == 0 {
		s.AdvertiseClientUrls = s.AdvertisePeerUrls // the others see by one that the member has been there
	}
	return errors.Join(problems[:]...)
}

// clusterOf returns the URL on which the others reach this member, and all
// members as etcd wants them.
func clusterOf(cfg Config) (own, members string) {
	if len(cfg.Cluster) == 0 {
		return nowhere, cfg.Name + "=" + nowhere
	}
	return cfg.Cluster[cfg.Name], initialCluster(cfg.Cluster)
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
