package store_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

func TestOneGrowsToThreeWithoutAStop(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t), "m3": freeURL(t)}
	configs := map[string]store.Config{
		"m1": {DataDir: t.TempDir(), Name: "m1", Cluster: only(urls, "m1")},
		"m2": {DataDir: t.TempDir(), Name: "m2", Cluster: only(urls, "m1", "m2"), Join: true},
		"m3": {DataDir: t.TempDir(), Name: "m3", Cluster: only(urls, "m2", "m3"), Join: true}, // one of the others is enough
	}
	members := map[string]*store.Store{"m1": open(t, configs["m1"])}
	term := campaign(t, members["m1"], "m1")
	stop := commitUntilStopped(t, term)

	for _, name := range []string{"m2", "m3"} {
		if err := members["m1"].AddMember(t.Context(), name, urls[name]); err != nil {
			t.Fatal(err)
		}
		wantMember(t, members["m1"], store.Member{Name: name, PeerURL: urls[name], Learner: true})
		members[name] = open(t, configs[name])
		wantMember(t, members[name], store.Member{Name: name, PeerURL: urls[name], Started: true, Self: true})
	}

	stop()
	put(t, term, "a", "1")
	for _, s := range members { // each of the three can be missed
		wantNames(t, s, "m1 m2 m3")
	}
	for _, name := range []string{"m1", "m2", "m3"} {
		if err := members[name].Close(); err != nil {
			t.Fatal(err)
		}
		next := map[string]string{"m1": "m2", "m2": "m3", "m3": "m1"}[name]
		term := campaign(t, members[next], next) // when the lease has run out, if need be
		if got := load(t, term); !strings.HasPrefix(got, "a=1 ") {
			t.Errorf("without %s, %s loaded %q", name, next, got)
		}
		if err := term.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		members[name] = open(t, configs[name]) // with what it was told at first
	}
}

func TestMemberThatNeverComes(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	cfg := store.Config{DataDir: t.TempDir(), Name: "m1", Cluster: only(urls, "m1")}
	s := open(t, cfg)
	if err := s.AddMember(t.Context(), "m2", urls["m2"]); err != nil {
		t.Fatal(err)
	}

	put(t, campaign(t, s, "m1"), "a", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)

	put(t, campaign(t, s, "m1"), "b", "2")
	if err := s.RemoveMember(t.Context(), "m2"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, s, "m1")
	if err := s.AddMember(t.Context(), "m2", urls["m2"]); err != nil { // at once, with the same name and URL
		t.Fatal(err)
	}
	wantMember(t, s, store.Member{Name: "m2", PeerURL: urls["m2"], Learner: true})
}

func TestChangeOfMembersIsRefused(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	socket := newSocket(t)
	one := open(t, store.Config{DataDir: t.TempDir(), Name: "m1", Cluster: only(urls, "m1"), ListenClient: socket})
	deaf := open(t, store.Config{DataDir: t.TempDir()})
	outside := open(t, store.Config{Endpoints: []string{socket}})
	inMemory := memory.New(memory.Config{}).Join()
	tests := map[string]struct {
		err   error
		want  error // nil: any
		words string
	}{
		"of an outside cluster, adding":   {outside.AddMember(t.Context(), "m2", urls["m2"]), store.ErrOutside, "add member m2"},
		"of an outside cluster, removing": {outside.RemoveMember(t.Context(), "m1"), store.ErrOutside, "remove member m1"},
		"of a memory":                     {inMemory.AddMember(t.Context(), "m2", urls["m2"]), store.ErrOutside, "add member m2"},
		"that is not there":               {one.RemoveMember(t.Context(), "m2"), store.ErrUnknownMember, "m2"},
		"whose name is another's":         {one.AddMember(t.Context(), "m1", urls["m2"]), store.ErrMemberExists, "m1 at " + urls["m1"]},
		"whose URL is another's":          {one.AddMember(t.Context(), "m2", urls["m1"]), store.ErrMemberExists, "m1 at " + urls["m1"]},
		"without a name":                  {one.AddMember(t.Context(), "", urls["m2"]), store.ErrBadMember, `"" cannot be a member's name`},
		"without a port":                  {one.AddMember(t.Context(), "m2", "http://host"), store.ErrBadMember, "lacks its port"},
		"with a port that is none":        {one.AddMember(t.Context(), "m2", "http://host:99999"), store.ErrBadMember, "want 1 to 65535"},
		"with a name of other letters":    {one.AddMember(t.Context(), "m☃", urls["m2"]), store.ErrBadMember, "want letters, digits"},
		"with a long name":                {one.AddMember(t.Context(), strings.Repeat("m", 64), urls["m2"]), store.ErrBadMember, "at most 63"},
		"with a path":                     {one.AddMember(t.Context(), "m2", urls["m2"]+"/m2"), store.ErrBadMember, "must end with the port"},
		"that is the last":                {one.RemoveMember(t.Context(), "m1"), store.ErrQuorum, "the only one"},
		"of one that awaits no others":    {deaf.AddMember(t.Context(), "m2", urls["m2"]), store.ErrDeaf, "start it with its own URL"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { wantWords(t, tc.err, tc.want, tc.words) })
	}
	wantNames(t, one, "m1")
	_, err := outside.Members(t.Context())
	wantWords(t, err, store.ErrOutside)
}

func TestDeadMemberIsReplaced(t *testing.T) {
	t.Parallel()
	three := startThreeHere(t)
	dead := three.configs["m3"]
	three.close(t, "m3")
	put(t, campaign(t, three.members["m1"], "m1"), "a", "1")

	if err := three.members["m1"].RemoveMember(t.Context(), "m3"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, three.members["m1"], "m1 m2")
	if err := three.members["m1"].AddMember(t.Context(), "m3", three.urls["m3"]); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), dead) // with the old data
	wantWords(t, err, store.ErrRemoved, dead.DataDir)
	fresh := dead
	fresh.DataDir = t.TempDir()
	_, err = store.Open(t.Context(), fresh)
	wantWords(t, err, nil, "this member was added to the cluster of", "join it")
	fresh.Join = true
	replaced := open(t, fresh)

	wantMember(t, replaced, store.Member{Name: "m3", PeerURL: three.urls["m3"], Started: true, Self: true})
	three.close(t, "m1")
	if got := load(t, campaign(t, replaced, "m3")); got != "a=1 " {
		t.Errorf("the new member loaded %q", got)
	}
}

func TestRemovedMember(t *testing.T) {
	t.Parallel()
	three := startThreeHere(t)
	campaign(t, three.members["m3"], "m3")                                      // so that m1 waits for the end of that term
	if err := three.members["m2"].RemoveMember(t.Context(), "m1"); err != nil { // when they have known each other for 5 s
		t.Fatal(err)
	}

	_, err := three.members["m1"].Campaign(t.Context(), "m1") // which waits until it stops
	wantWords(t, err, store.ErrRemoved)
	three.close(t, "m1")
	_, err = store.Open(t.Context(), three.configs["m1"])
	wantWords(t, err, store.ErrRemoved, three.configs["m1"].DataDir)

	if err := three.members["m2"].RemoveMember(t.Context(), "m2"); err != nil { // itself
		t.Fatal(err)
	}
	wantNames(t, three.members["m3"], "m3")
	three.close(t, "m2")
	three.close(t, "m3")
	last := open(t, three.configs["m3"]) // whose Cluster is of three
	put(t, campaign(t, last, "m3"), "a", "1")
}

func TestMajorityIsKept(t *testing.T) {
	t.Parallel()
	three := startThreeHere(t)
	three.close(t, "m3")

	err := three.members["m1"].RemoveMember(t.Context(), "m2")

	wantWords(t, err, store.ErrQuorum, "remove member m2")
	wantNames(t, three.members["m1"], "m1 m2 m3")
	put(t, campaign(t, three.members["m1"], "m1"), "a", "1")

	three.close(t, "m2")
	err = three.members["m1"].RemoveMember(t.Context(), "m3")
	wantWords(t, err, store.ErrQuorum, "remove member m3")
}

func TestNewcomerIsRefused(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t), "m3": freeURL(t)}
	one := open(t, store.Config{DataDir: t.TempDir(), Name: "m1", Cluster: only(urls, "m1")})
	if err := one.AddMember(t.Context(), "m2", urls["m2"]); err != nil {
		t.Fatal(err)
	}
	two := open(t, store.Config{DataDir: t.TempDir(), Name: "m2", Cluster: only(urls, "m1", "m2"), Join: true})
	wantMember(t, one, store.Member{Name: "m2", PeerURL: urls["m2"], Started: true})
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg   store.Config
		words string
	}{
		"that would make a cluster with one that is in another": {
			store.Config{Name: "m3", Cluster: urls}, "of a cluster without " + urls["m3"],
		},
		"that joins and was not added": {
			store.Config{Name: "m3", Cluster: urls, Join: true}, "has no member at " + urls["m3"],
		},
		"that has lost its data": {
			store.Config{Name: "m2", Cluster: only(urls, "m1", "m2")}, "knows this member, whose data is not here",
		},
		"that has lost its data and joins": {
			store.Config{Name: "m2", Cluster: only(urls, "m1", "m2"), Join: true}, "member m2 of the cluster of",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.cfg.DataDir = t.TempDir()

			_, err := store.Open(t.Context(), tc.cfg)

			wantWords(t, err, nil, tc.cfg.DataDir, tc.words)
		})
	}
}

func TestNameOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	one := open(t, store.Config{DataDir: t.TempDir(), Name: "m1", Cluster: only(urls, "m1")})
	if err := one.AddMember(t.Context(), "m2", urls["m2"]); err != nil {
		t.Fatal(err)
	}

	_, err := store.Open(t.Context(), store.Config{
		DataDir: t.TempDir(), Name: "m1", Join: true, Cluster: map[string]string{"m1": urls["m2"], "other": urls["m1"]},
	})

	wantWords(t, err, nil, "has another member m1, at "+urls["m1"])
}

func TestJoiningWaitsForTheCluster(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	enough := fmt.Errorf("waited enough")
	ctx, stop := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, enough)
	defer stop()

	_, err := store.Open(ctx, store.Config{DataDir: t.TempDir(), Name: "m2", Cluster: urls, Join: true})

	wantWords(t, err, enough, "no member of the cluster to join answers")
}

// TestOneThatAwaitedNobodyGrows starts a member again with a URL of its own.
func TestOneThatAwaitedNobodyGrows(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	dir := t.TempDir()
	before := open(t, store.Config{DataDir: dir})
	put(t, campaign(t, before, "m1"), "a", "1")
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	one := open(t, store.Config{DataDir: dir, Name: "m1", Cluster: only(urls, "m1")})

	wantMember(t, one, store.Member{Name: "m1", PeerURL: urls["m1"], Started: true, Leader: true, Self: true})
	if err := one.AddMember(t.Context(), "m2", urls["m2"]); err != nil {
		t.Fatal(err)
	}
	two := open(t, store.Config{DataDir: t.TempDir(), Name: "m2", Cluster: urls, Join: true})
	if got := load(t, campaign(t, two, "m2")); got != "a=1 " {
		t.Errorf("the second member loaded %q", got)
	}
}

// only returns the members of those names.
func only(urls map[string]string, names ...string) map[string]string {
	some := maps.Clone(urls)
	maps.DeleteFunc(some, func(name, _ string) bool { return !slices.Contains(names, name) })
	return some
}

// commitUntilStopped commits in the background, and fails the test with the first
// error.
func commitUntilStopped(t *testing.T, term *store.Term) (stop func()) {
	t.Helper()
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stopping:
				return
			default:
			}
			if _, err := term.Commit(t.Context(), []store.Op{{Key: "n", Value: fmt.Append(nil, n)}}); err != nil {
				t.Errorf("commit %d: %v", n, err)
				return
			}
		}
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}

// wantMember waits for a member as the store lists it, whatever its number: what
// others tell comes a little later.
func wantMember(t *testing.T, s *store.Store, want store.Member) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := s.Members(ctx)
		if err == nil && slices.ContainsFunc(list, func(got store.Member) bool {
			want.ID = got.ID
			return got == want
		}) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("members are %+v, %v, without %+v", list, err, want)
		}
	}
}

func wantNames(t *testing.T, s *store.Store, want string) {
	t.Helper()
	list, err := s.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, member := range list {
		names = append(names, member.Name)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("members are %s, want %s", got, want)
	}
}

// threeHere are three members in this process.
type threeHere struct {
	urls    map[string]string
	configs map[string]store.Config
	members map[string]*store.Store
}

func startThreeHere(t *testing.T) *threeHere {
	t.Helper()
	three := &threeHere{
		urls:    map[string]string{"m1": freeURL(t), "m2": freeURL(t), "m3": freeURL(t)},
		configs: make(map[string]store.Config),
	}
	for name := range three.urls {
		three.configs[name] = store.Config{DataDir: t.TempDir(), Name: name, Cluster: three.urls}
	}
	three.members = startAll(t, func(name string) (*store.Store, error) {
		return store.Open(t.Context(), three.configs[name])
	}, "m1", "m2", "m3")
	return three
}

func (three *threeHere) close(t *testing.T, name string) {
	t.Helper()
	if err := three.members[name].Close(); err != nil {
		t.Fatal(err)
	}
}
