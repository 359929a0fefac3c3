package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// A member is asked for the list of members with askWithin to answer. A joining
// one asks again after joinAgainAfter while nobody does, and for agreeWithin
// while they do not all know it.
const (
	askWithin      = time.Second
	joinAgainAfter = 100 * time.Millisecond
	agreeWithin    = 2 * time.Second
)

// errNotAdded says that the members know nothing of one that wants to join.
var errNotAdded = errors.New("add it first")

// introduce says of a member whose folder is new which cluster it makes or joins.
// One that has data knows that by itself.
func introduce(ctx context.Context, cfg Config, settings *embed.Config) (err error) {
	if wal.Exist(datadir.ToWALDir(settings.Dir)) {
		return nil
	}
	if cfg.Join {
		settings.ClusterState = embed.ClusterStateFlagExisting
		settings.InitialCluster, err = findCluster(ctx, cfg)
		return err
	}
	return checkNewcomer(ctx, cfg)
}

// checkNewcomer refuses to make a cluster anew with members that are in one
// already. Those that do not answer are taken to be as new as this one.
func checkNewcomer(ctx context.Context, cfg Config) error {
	for url, list := range askPeers(ctx, cfg) {
		self := memberAt(list, cfg.Cluster[cfg.Name])
		switch {
		case self == nil:
			return fmt.Errorf("the member at %s is of a cluster without %s; add this one to it, and join", url, cfg.Cluster[cfg.Name])
		case started(self):
			return fmt.Errorf("the cluster of %s knows this member, whose data is not here; remove it there, add it again, and join", url)
		case self.Name == "":
			return fmt.Errorf("this member was added to the cluster of %s; join it", url)
		}
	}
	return nil
}

// findCluster asks the other members for the cluster that this one was added to,
// and returns it as etcd wants it. It waits for one to answer, and a little for
// all that answer to agree: they do not learn at the same moment who was added.
func findCluster(ctx context.Context, cfg Config) (initial string, err error) {
	var answered time.Time // when somebody first did
	for told := false; ; told = true {
		answers := askPeers(ctx, cfg)
		if len(answers) == 0 && !told {
			cfg.Log.WarnContext(ctx, "no member of the cluster to join answers yet", slog.String("member", cfg.Name))
		}
		if len(answers) > 0 {
			initial, err = clusterToJoin(answers, cfg)
			if !errors.Is(err, errNotAdded) {
				return initial, err
			}
			if answered.IsZero() {
				answered = time.Now()
			}
			if time.Since(answered) > agreeWithin {
				return "", err
			}
		}
		if err := pause(ctx, joinAgainAfter); err != nil {
			return "", fmt.Errorf("%w: no member of the cluster to join answers", err)
		}
	}
}

// clusterToJoin writes the members of a cluster, with this one under its name.
func clusterToJoin(answers map[string][]*membership.Member, cfg Config) (initial string, err error) {
	own := cfg.Cluster[cfg.Name]
	members := map[string]string{cfg.Name: own}
	for _, url := range slices.Sorted(maps.Keys(answers)) {
		self := memberAt(answers[url], own)
		if self == nil {
			return "", fmt.Errorf("the cluster of %s has no member at %s; %w", url, own, errNotAdded)
		}
		if started(self) {
			return "", fmt.Errorf("member %s of the cluster of %s, at %s, has been there before, and its data is not here; "+
				"remove it there and add it again", self.Name, url, own)
		}
		for _, other := range answers[url] {
			if other != self && other.Name == cfg.Name {
				return "", fmt.Errorf("the cluster of %s has another member %s, at %s", url, other.Name, urlOf(other))
			}
			if other != self {
				members[nameOf(other)] = urlOf(other)
			}
		}
	}
	return initialCluster(members), nil
}

// askPeers returns the lists of those other members that answer, by their URLs.
func askPeers(ctx context.Context, cfg Config) map[string][]*membership.Member {
	var asking sync.WaitGroup
	var mu sync.Mutex // guards answers
	answers := make(map[string][]*membership.Member)
	for name, url := range cfg.Cluster {
		if name == cfg.Name {
			continue
		}
		asking.Go(func() {
			list, err := askPeer(ctx, url)
			if err != nil {
				return // most often it is not there yet
			}
			mu.Lock()
			defer mu.Unlock()
			answers[url] = list
		})
	}
	asking.Wait()
	return answers
}

// askPeer asks one member for all that it knows of.
func askPeer(ctx context.Context, url string) (list []*membership.Member, err error) {
	ctx, done := context.WithTimeout(ctx, askWithin)
	defer done()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/members", http.NoBody)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("it knows of no member yet")
	}
	return list, nil
}

func memberAt(list []*membership.Member, url string) *membership.Member {
	for _, member := range list {
		if slices.Contains(member.PeerURLs, url) {
			return member
		}
	}
	return nil
}

// started says that a member has been there at least once: then it has told the
// others its URL for clients, or what stands for that.
func started(member *membership.Member) bool { return len(member.ClientURLs) > 0 }

// nameOf returns a member's name, or its number while it has not told its name.
func nameOf(member *membership.Member) string {
	if member.Name == "" {
		return member.ID.String()
	}
	return member.Name
}

func urlOf(member *membership.Member) string { return strings.Join(member.PeerURLs, ",") }
