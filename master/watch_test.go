package master_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// TestWatchIsTheLists has watchers come, break and resume at any moment of a
// cluster's life. What each has seen is what the lists show in the end, and those
// that resumed saw every change that those saw who never broke, once, and no note
// that those did not. Notes are not durable: who comes back after a change of leader
// misses those in between.
func TestWatchIsTheLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			n := single(t)
			n.join("a1", 6)
			steady, broken := n.follow(""), n.follow("")
			synctest.Wait() // both have begun
			all := []*follower{steady, broken}
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				all = append(all, n.anything(rt, broken)...)
			}
			time.Sleep(time.Minute)

			listed := n.listed()
			for _, f := range all {
				if diff := cmp.Diff(ofService(listed, f.service), f.seen(), protocmp.Transform()); diff != "" {
					rt.Fatalf("a watcher of %q (-lists +watch):\n%s", f.service, diff)
				}
				f.stop()
			}
			if diff := cmp.Diff(steady.changes(), broken.changes()); diff != "" {
				rt.Fatalf("after resuming (-steady +broken):\n%s", diff)
			}
			if note := broken.without(steady); note != "" {
				rt.Fatalf("after resuming a note is told that nobody else was told, or told twice: %s", note)
			}
			n.close()
		})
	})
}

// inBubble is a test without the deadline that a bubble's time has no part in.
type inBubble struct{ testing.TB }

// anything lets something happen. It returns the watcher that began by it, if
// one did.
func (n *node) anything(rt *rapid.T, broken *follower) []*follower {
	service := rapid.SampledFrom([]string{"web", "web-2", "once"}).Draw(rt, "service")
	ctx := n.Context()
	switch rapid.IntRange(0, 9).Draw(rt, "what") {
	case 0, 1, 2:
		kind := map[string]string{"web": "service", "web-2": "service", "once": "job"}[service]
		n.allowed(n.try(fmt.Sprintf("%s: %s\nresources: {cpus: 1}\nrun: {command: [%s]}\n%s: %d\n", kind, service,
			rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "command"),
			map[string]string{"service": "instances", "job": "copies"}[kind], rapid.IntRange(1, 3).Draw(rt, "instances"))))
	case 3:
		_, err := n.api.Scale(ctx, ask(&pb.ScaleRequest{Service: service, Instances: new(rapid.Int32Range(0, 4).Draw(rt, "instances"))}))
		n.allowed(err)
	case 4:
		_, err := n.api.Stop(ctx, ask(&pb.StopRequest{Service: service, Remove: rapid.Bool().Draw(rt, "remove")}))
		n.allowed(err)
	case 5:
		_, err := n.api.SetPool(ctx, ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "p1", Priority: rapid.Int32Range(0, 3).Draw(rt, "priority")}}))
		n.allowed(err)
	case 6:
		synctest.Wait()
		broken.stop()
		if rapid.Bool().Draw(rt, "a change while it is away") {
			n.allowed(n.try("service: web\nrun: {command: [c]}\n"))
		}
		broken.resume()
	case 7:
		return []*follower{n.follow(rapid.SampledFrom([]string{"", service}).Draw(rt, "filter"))}
	case 8: // the leader changes, when all were told what there is to tell: notes are not told later
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		n.cluster.Depose()
		synctest.Wait()
		n.eventually("the next term has begun", func() bool { return n.leader() == "m1" })
	default:
		time.Sleep(time.Duration(rapid.IntRange(1, 5_000).Draw(rt, "pause")) * time.Millisecond)
	}
	return nil
}

// allowed fails on an error that is not a refusal by the state of the cluster.
func (n *node) allowed(err error) {
	n.Helper()
	if code := connect.CodeOf(err); err != nil && code != connect.CodeFailedPrecondition && code != connect.CodeNotFound && code != connect.CodeInvalidArgument {
		n.Fatal(err)
	}
}

func TestRefusedWatches(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		from int64
		code connect.Code
	}{
		"from a revision that is not kept":   {2, connect.CodeOutOfRange},
		"from one that has not come":         {1 << 40, connect.CodeOutOfRange},
		"from one that cannot be":            {-1, connect.CodeInvalidArgument},
		"from the one before the oldest yet": {40, connect.CodeOutOfRange},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := start(t, memory.New(memory.Config{}), master.Config{History: 10})
				n.leads()
				for i := range 50 {
					n.deploy(fmt.Sprintf("service: web\ninstances: 0\nrun: {command: [v%d]}\n", i))
				}

				stream, err := n.api.Watch(t.Context(), ask(&pb.WatchRequest{FromRevision: tc.from}))
				for err == nil && stream.Receive() {
					t.Errorf("it was told %v", stream.Msg())
				}
				if err == nil {
					err = stream.Err()
				}

				checkError(t, err, tc.code)
			})
		})
	}
}

// TestDeletionsOfOneService has names that begin alike, and one so long that the
// names of its tasks are cut.
func TestDeletionsOfOneService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		long := strings.Repeat("web", 21)
		var watchers []*follower
		for _, name := range []string{"web", "web-1", long} {
			n.deploy(fmt.Sprintf("service: %s\nrun: {command: [a]}\n", name))
			watchers = append(watchers, n.follow(name))
		}
		for _, f := range watchers {
			if seen := f.seen(); len(seen) != 4 {
				t.Errorf("of %s there are %v", f.service, slices.Sorted(maps.Keys(seen)))
			}
		}

		must[pb.StopResponse](t)(n.api.Stop(t.Context(), ask(&pb.StopRequest{Service: long, Remove: true})))
		must[pb.StopResponse](t)(n.api.Stop(t.Context(), ask(&pb.StopRequest{Service: "web-1", Remove: true})))
		n.eventually("both are forgotten", func() bool { return len(ofService(n.listed(), "")) == 4 })

		for _, f := range watchers {
			want := map[string]int{"web": 4}[f.service]
			if seen := f.seen(); len(seen) != want {
				t.Errorf("of %s there are %v", f.service, slices.Sorted(maps.Keys(seen)))
			}
			deleted := 0
			for _, changes := range f.changes() {
				deleted += strings.Count(strings.Join(changes, "\n"), "deleted:")
			}
			if f.service == "web" && deleted > 0 || f.service != "web" && deleted != 4 {
				t.Errorf("%s was told of %d deletions: %q", f.service, deleted, f.told)
			}
		}
	})
}

// TestSlowWatcher never reads. It holds up nobody, and is cut.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, memory.New(memory.Config{}), master.Config{History: 100})
		n.leads()
		slow := n.raw()
		slow.write("POST /aloft.v1.ClusterService/Watch HTTP/1.1\r\nHost: a\r\nContent-Type: application/connect+json\r\n" +
			"Connect-Protocol-Version: 1\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02{}")
		synctest.Wait() // its answer does not fit: nobody reads
		began := time.Now()

		for i := range 100 {
			n.deploy(fmt.Sprintf("service: web\ninstances: 0\nrun: {command: [v%d]}\n", i))
		}

		if waited := time.Since(began); waited > 0 {
			t.Errorf("100 deployments took %v", waited)
		}
		time.Sleep(31 * time.Second)
		if _, err := slow.conn.Write([]byte("x")); err == nil {
			t.Error("it is still connected")
		}
	})
}

// TestWatchesBeginWhileAllChanges: a watch that begins in the middle of changes knows, once
// it is synced and has followed, what the lists show.
func TestWatchesBeginWhileAllChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.deploy("service: web\ninstances: 2000\nrun: {command: [a]}\n")
		var changing sync.WaitGroup
		for i := range 4 {
			changing.Go(func() {
				for round := range 12 {
					n.deploy(fmt.Sprintf("service: web-%d\ninstances: %d\nrun: {command: [a]}\n", i, 20*(round%3)))
				}
			})
		}
		var watchers []*follower
		for range 8 {
			watchers = append(watchers, n.follow(""))
		}
		changing.Wait()

		want := n.listed()
		for i, f := range watchers {
			if diff := cmp.Diff(want, f.seen(), protocmp.Transform()); diff != "" || f.ended() != nil {
				t.Fatalf("watcher %d ended with %v (-lists +watch):\n%s", i, f.ended(), diff)
			}
		}
	})
}

// TestCutWatcherResumes: one that does not read for too long is cut, and goes on from the
// last that it has read without a gap and without a repeat. The others notice nothing.
func TestCutWatcherResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		var line *valve
		steady, cut := n.follow(""), n.followBy(n.clientOver(&line).Cluster(), "")
		synctest.Wait() // both have begun
		deploy := func(from int) {
			for i := range 10 {
				n.deploy(fmt.Sprintf("service: web\ninstances: 0\nrun: {command: [v%d], env: {A: x%s}}\n", from+i, noise(100<<10)))
			}
		}
		line.shut()
		deploy(0)
		time.Sleep(time.Minute)
		line.reopen()
		n.eventually("it is cut", func() bool { return cut.ended() != nil })
		deploy(10)

		missed := len(steady.changes()["services/web"]) - len(cut.changes()["services/web"])
		cut.stop()
		cut.resume()

		if diff := cmp.Diff(steady.seen(), cut.seen(), protocmp.Transform()); diff != "" {
			t.Errorf("(-steady +cut):\n%s", diff)
		}
		if diff := cmp.Diff(steady.changes(), cut.changes()); diff != "" || missed < 10 {
			t.Errorf("it had missed %d changes of the service (-steady +cut):\n%s", missed, diff)
		}
		if err := steady.ended(); err != nil {
			t.Errorf("the other has ended: %v", err)
		}
	})
}

// TestWatcherThatFellBehind reads again when the history has passed it.
func TestWatcherThatFellBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, memory.New(memory.Config{}), master.Config{History: 10})
		n.leads()
		var line *valve
		c := n.clientOver(&line)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := c.Cluster().Watch(ctx, ask(&pb.WatchRequest{}))
		if err != nil || !stream.Receive() {
			t.Fatal(err, stream.Err())
		}
		line.shut()
		for i := range 50 {
			n.deploy(fmt.Sprintf("service: web\ninstances: 0\nrun: {command: [v%d], env: {A: x%s}}\n", i, noise(50<<10)))
		}
		line.reopen()

		for stream.Receive() {
		}

		checkError(t, stream.Err(), connect.CodeOutOfRange, "watch from 0")
	})
}

func TestManyWatchers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		var watchers []*follower
		for range 1000 {
			watchers = append(watchers, n.follow(""))
		}
		synctest.Wait()

		n.deploy("service: web\ninstances: 0\nrun: {command: [a]}\n")

		want := n.listed()
		for i, f := range watchers {
			if got := f.seen(); len(got) != len(want) || f.ended() != nil {
				t.Fatalf("watcher %d has seen %v; it ended with %v", i, got, f.ended())
			}
		}
	})
}

// TestWatchOutlivesTheTerm and ends with the master.
func TestWatchOutlivesTheTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		n := start(t, cluster, master.Config{})
		n.leads()
		f := n.follow("")
		synctest.Wait()

		cluster.Depose()
		time.Sleep(time.Second)
		n.deploy(web(1, "v1"))
		synctest.Wait()

		if seen := f.seen(); len(seen) == 0 || f.ended() != nil {
			t.Errorf("in the next term it has seen %v; it ended with %v", seen, f.ended())
		}
		n.stop()
		n.eventually("the watch has ended", func() bool { return f.ended() != nil })
		checkError(t, f.ended(), connect.CodeUnavailable)
	})
}

// TestLeadingDoesNotWaitForHistory has a new leader to whom the store tells its past
// late. It leads at once, and a watch that resumes misses nothing of either term.
func TestLeadingDoesNotWaitForHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const late = 400 * time.Millisecond
		var deposed, loads atomic.Int32
		cluster := memory.New(memory.Config{Fault: func(call memory.Call) memory.Fate {
			if call.Kind == memory.Load && deposed.Load() > 0 && loads.Add(1) == 2 { // the first reads what there is
				return memory.Fate{Delay: late}
			}
			return memory.Fate{}
		}})
		n := start(t, cluster, master.Config{})
		n.leads()
		steady, broken := n.follow(""), n.follow("")
		synctest.Wait()
		broken.stop()
		n.deploy(web(1, "v1"))
		deposed.Store(1)
		cluster.Depose()
		synctest.Wait()
		n.eventually("the next term has begun", func() bool { return n.leader() == "m1" })

		broken.resume()
		n.deploy(web(2, "v1"))
		synctest.Wait()
		early := broken.changes()
		time.Sleep(2 * late)
		synctest.Wait()

		if len(early) > 0 {
			t.Errorf("the first change of the term came after the history: %q", early)
		}
		if diff := cmp.Diff(steady.changes(), broken.changes()); diff != "" || len(broken.changes()) == 0 {
			t.Errorf("after resuming (-steady +broken):\n%s", diff)
		}
	})
}

func TestLargeStateComesInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		text := noise(100 << 10)
		var specs []string
		for i := range 40 {
			specs = append(specs, fmt.Sprintf("service: web-%d\ninstances: 0\nrun: {command: [a], env: {A: x%s}}\n", i, text))
		}
		early := n.follow("")
		synctest.Wait()
		n.deploy(specs...) // one batch

		late := n.follow("")

		want := n.listed()
		for _, f := range []*follower{early, late} {
			if diff := cmp.Diff(want, f.seen(), protocmp.Transform()); diff != "" {
				t.Errorf("it differs: %s", diff)
			}
		}
		stream, err := n.api.Watch(t.Context(), ask(&pb.WatchRequest{}))
		for parts := 0; err == nil && stream.Receive(); parts++ {
			if stream.Msg().GetSynced() {
				if parts < 5 {
					t.Errorf("it came in %d parts", parts+1)
				}
				_ = stream.Close()
				break
			}
		}
	})
}
