package succession_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/succession"
)

// TestAfter has everybody who knows the same masters agree on who is next: who might lead
// knows that from the one that has led, and who looks for the leader goes around from the
// one that it asked first, whatever the order in which they were told of them.
func TestAfter(t *testing.T) {
	t.Parallel()
	host := rapid.StringMatching(`(10\.0\.0\.[0-9]{1,2}|m[a-c]?):[0-9]{1,2}`)
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.SliceOfNDistinct(host, 1, 6, rapid.ID).Draw(t, "hosts")
		former := rapid.SampledFrom(hosts).Draw(t, "former")
		first := rapid.SampledFrom(hosts).Draw(t, "first")
		told := rapid.Permutation(hosts).Draw(t, "told")
		told = append(told, rapid.SliceOf(rapid.SampledFrom(hosts)).Draw(t, "told again")...)
		for i, address := range told {
			told[i] = "http://" + address
		}
		before := slices.Clone(told)

		next := plain(succession.After(former, hosts))
		round := append([]string{first}, plain(succession.After("http://"+first, told))...)

		if !slices.Equal(told, before) {
			t.Fatalf("it made %v of %v", told, before)
		}
		if all := slices.Sorted(slices.Values(round)); !slices.Equal(all, slices.Sorted(slices.Values(hosts))) {
			t.Fatalf("of %v it is asked at %v", hosts, round)
		}
		at := slices.Index(round, former)
		if around := slices.Concat(round[at+1:], round[:at]); !slices.Equal(around, next) {
			t.Fatalf("after %s lead %v, and are asked %v", former, next, around)
		}
	})
}

// TestAfterOneThatIsGone goes on where it was.
func TestAfterOneThatIsGone(t *testing.T) {
	t.Parallel()
	for former, want := range map[string]string{
		"":           "http://a:1 http://c:1",
		"b:1":        "http://c:1 http://a:1",
		"http://a:1": "http://c:1",
		"d:1":        "http://a:1 http://c:1",
	} {
		if got := strings.Join(succession.After(former, []string{"http://c:1", "http://a:1"}), " "); got != want {
			t.Errorf("after %q come %s, want %s", former, got, want)
		}
	}
	if got := succession.After("a:1", []string{"a:1"}); len(got) != 0 {
		t.Errorf("after the only one come %v", got)
	}
	if got := succession.After("http://b:1", []string{"https://a:1", "http://b:1", "http://a:1"}); len(got) != 2 {
		t.Errorf("after b come %v, want a by both schemes", got)
	}
}

// plain takes off the schemes.
func plain(addresses []string) []string {
	for i, address := range addresses {
		addresses[i] = address[strings.LastIndexByte(address, '/')+1:]
	}
	return addresses
}
