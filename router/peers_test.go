package router_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/router"
)

// TestEjectionsHaveAFloor is the law of the peers, after any moves: doubtful
// failures leave half of a service; and as long as the service has an endpoint, a
// request that has tried none gets one, of which none is ejected while another is
// not.
func TestEjectionsHaveAFloor(t *testing.T) {
	t.Parallel()
	failures, certain := router.Failures()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "endpoints")
		peers, now := router.NewStandings(n), time.Unix(1000, 0)
		peer := func(t *rapid.T) int { return rapid.IntRange(0, n-1).Draw(t, "peer") }
		left := func() (left int) {
			for i := range n {
				if !peers.Ejected(i) {
					left++
				}
			}
			return left
		}
		t.Repeat(map[string]func(*rapid.T){
			"fail": func(t *rapid.T) {
				why := rapid.IntRange(0, len(failures)-1).Draw(t, "why")
				if peers.Fail(peer(t), failures[why], now) && why < certain && left() < (n+1)/2 {
					t.Fatalf("%s left %d of %d", failures[why], left(), n)
				}
			},
			"miss": func(t *rapid.T) {
				peers.Miss(peer(t), failures[rapid.IntRange(certain, len(failures)-1).Draw(t, "why")], now)
			},
			"answer":  func(t *rapid.T) { peers.Answer(peer(t)) },
			"connect": func(t *rapid.T) { peers.Connect(peer(t), now) },
			"suspect": func(t *rapid.T) { peers.Suspect(peer(t), rapid.Bool().Draw(t, "suspect")) },
			"hold":    func(t *rapid.T) { peers.Hold(peer(t), rapid.Int64Range(0, 3).Draw(t, "requests")) },
			"wait": func(t *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "wait"))
			},
			"": func(t *rapid.T) {
				again := rapid.Bool().Draw(t, "again")
				if got := peers.Pick(again, false); got < 0 || peers.Ejected(got) && left() > 0 {
					t.Fatalf("a request is sent to %d of %d, %d are left", got, n, left())
				}
				if got := peers.Pick(again, true); (got < 0) != (left() == 0) || got >= 0 && peers.Ejected(got) {
					t.Fatalf("a request that waits is sent to %d, %d are left", got, left())
				}
				for i := range n {
					if peers.Ejected(i) && !peers.Due(i, now.Add(time.Second)) {
						t.Fatalf("nobody will look after %d within a second", i)
					}
				}
			},
		})
	})
}

// TestOldMissesTellNothing: what was begun before a connection was accepted.
func TestOldMissesTellNothing(t *testing.T) {
	t.Parallel()
	peers, now := router.NewStandings(2), time.Unix(1000, 0)
	if peers.Overtaken(0, now) {
		t.Error("nothing was accepted yet")
	}

	peers.Connect(0, now)

	if !peers.Overtaken(0, now.Add(-1)) {
		t.Error("a connection that was begun before is not overtaken")
	}
	if peers.Overtaken(0, now) || peers.Overtaken(0, now.Add(time.Second)) || peers.Overtaken(1, now.Add(-1)) || peers.Overtaken(0, time.Time{}) {
		t.Error("one that was begun later, at another endpoint, or not to connect, is overtaken")
	}
}

// TestEjectionsGrow: a connection is tried 100 ms after the ejection, then after
// twice as long with each failure, up to a second; and from the start after the
// endpoint has answered.
func TestEjectionsGrow(t *testing.T) {
	t.Parallel()
	peers, now := router.NewStandings(1), time.Unix(1000, 0)
	peers.Fail(0, "refused", now)
	for _, milliseconds := range []int{100, 200, 400, 800, 1000, 1000, 1000} {
		want := time.Duration(milliseconds) * time.Millisecond
		if peers.Fail(0, "refused", now) {
			t.Error("requests that are refused together count more than once")
		}
		if peers.Due(0, now.Add(want-1)) || !peers.Due(0, now.Add(want)) {
			t.Errorf("a connection is not tried after %v", want)
		}
		now = now.Add(want)
		peers.Miss(0, "refused", now)
	}

	peers.Connect(0, now)
	peers.Answer(0)
	peers.Fail(0, "refused", now)
	if peers.Due(0, now.Add(100*time.Millisecond-1)) || !peers.Due(0, now.Add(100*time.Millisecond)) {
		t.Error("the time did not begin anew")
	}

	peers.Answer(0) // an old request's, maybe
	if !peers.Ejected(0) || !peers.Due(0, now) {
		t.Error("an answer is no reason to try a connection at once")
	}
}

// TestHowMuchItTakes: what is certain ejects at once, what is not after three in
// a row, or at once while the agent is silent.
func TestHowMuchItTakes(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	failures, certain := router.Failures()
	for i, why := range failures {
		for _, suspect := range []bool{false, true} {
			peers, want, taken := router.NewStandings(4), 3, 0
			peers.Suspect(0, suspect)
			if suspect || i >= certain {
				want = 1
			}
			for !peers.Ejected(0) {
				if taken == 2 { // an answer in between
					peers.Answer(0)
					peers.Fail(0, why, now)
					peers.Fail(0, why, now)
				}
				taken++
				peers.Fail(0, why, now)
			}
			if taken != want {
				t.Errorf("%s, suspect %v: ejected after %d, want %d", why, suspect, taken, want)
			}
		}
	}
}

// TestOneMissIsNoProof: a packet may be lost. It is proof of what is suspected
// already.
func TestOneMissIsNoProof(t *testing.T) {
	t.Parallel()
	peers, now := router.NewStandings(2), time.Unix(1000, 0)
	if peers.Miss(0, "unreachable", now) || !peers.Miss(0, "unreachable", now) {
		t.Error("it does not take two")
	}
	peers.Suspect(1, true)
	if !peers.Due(1, now) {
		t.Error("no connection is tried to what has become suspect")
	}
	if !peers.Miss(1, "unreachable", now) {
		t.Error("one is not enough for a suspect")
	}

	peers.Connect(0, now)
	if peers.Miss(0, "unreachable", now) || !peers.Miss(0, "refused", now) {
		t.Error("after it came back: one lost packet is not forgiven, or a refusal is")
	}
}

// TestTrial: what comes back gets one request at a time, and none that cannot be
// sent again, until it has answered one or has had its time.
func TestTrial(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	type chances struct{ again, never, second bool } // of a request that may be sent again, of another, of one beside it
	tests := map[string]struct {
		then func(peers *router.Standings)
		want chances
	}{
		"at once":         {func(*router.Standings) {}, chances{again: true}},
		"after an answer": {func(peers *router.Standings) { peers.Answer(0) }, chances{true, true, true}},
		"after a failure": {func(peers *router.Standings) { peers.Fail(0, "broken", now) }, chances{}},
		"after its time":  {func(peers *router.Standings) { peers.Due(0, now.Add(5*time.Second)) }, chances{true, true, true}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peers := router.NewStandings(3)
			for range 3 {
				peers.Fail(0, "broken", now)
			}
			peers.Connect(0, now)

			tc.then(peers)

			chosen := func(again bool) bool {
				return slices.ContainsFunc(make([]int, 200), func(int) bool { return peers.Pick(again, false) == 0 })
			}
			got := chances{again: chosen(true), never: chosen(false)}
			for i, requests := range []int64{1, 9, 9} {
				peers.Hold(i, requests)
			}
			if got.second = chosen(true); got != tc.want {
				t.Errorf("chosen %+v, want %+v", got, tc.want)
			}
		})
	}
}
