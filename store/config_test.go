package store_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
)

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	peers := map[string]string{"m1": "http://127.0.0.1:1", "m2": "http://127.0.0.1:2"}
	tests := map[string]struct {
		cfg   store.Config
		words []string
	}{
		"empty":     {store.Config{}, []string{"DataDir or Endpoints"}},
		"both":      {store.Config{DataDir: "d", Endpoints: []string{"http://127.0.0.1:1"}}, []string{"exclude each other"}},
		"not a URL": {store.Config{Endpoints: []string{"http://[::1"}}, []string{"Endpoints", `http://[::1`}},
		"no scheme": {store.Config{Endpoints: []string{"host:1"}}, []string{`"host:1" must begin with http:// or https:// or unix://`}},
		"no port":   {store.Config{Endpoints: []string{"http://host"}}, []string{`"http://host" lacks its port`}},
		"unlisted":  {store.Config{DataDir: "d", Name: "m3", Cluster: peers}, []string{`this member, "m3", is not in Cluster`}},
		"joining nobody": {
			store.Config{DataDir: "d", Name: "m1", Join: true, Cluster: map[string]string{"m1": "http://127.0.0.1:1"}},
			[]string{"to Join, Cluster must name this member and at least one other"},
		},
		"outside and joining": {
			store.Config{Endpoints: []string{"http://host:1"}, Join: true}, []string{"only an embedded member has"},
		},
		"a member with a path": {
			store.Config{DataDir: "d", Name: "m1", Cluster: map[string]string{"m1": "http://127.0.0.1:1/"}},
			[]string{`"http://127.0.0.1:1/" must end with the port`},
		},
		"odd member":     {store.Config{DataDir: "d", Name: "a,b", Cluster: map[string]string{"a,b": "x"}}, []string{`"a,b" cannot be`, `"x" must begin`}},
		"peer by name":   {store.Config{DataDir: "d", Cluster: map[string]string{"alone": "http://host:1"}}, []string{"ListenPeer", "must have an IP address"}},
		"client by name": {store.Config{DataDir: "d", ListenClient: "http://host:1"}, []string{"ListenClient", "must have an IP address"}},
		"outside and listening": {
			store.Config{Endpoints: []string{"http://host:1"}, ListenClient: "http://127.0.0.1:1"},
			[]string{"only an embedded member has"},
		},
		"large limits":  {store.Config{DataDir: "d", Limits: store.Limits{Ops: 10_000}}, []string{"10000 operations", "takes 9999"}},
		"bad prefix":    {store.Config{DataDir: "d", Prefix: "aloft"}, []string{`Prefix is "aloft"`}},
		"odd lease":     {store.Config{DataDir: "d", LeaseTTL: 1500 * time.Millisecond}, []string{"LeaseTTL is 1.5s"}},
		"negative dial": {store.Config{DataDir: "d", DialTimeout: -1}, []string{"DialTimeout is -1ns"}},
		"several": {
			store.Config{Prefix: "aloft", LeaseTTL: -time.Second},
			[]string{"DataDir or Endpoints", "Prefix", "LeaseTTL"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := store.Open(t.Context(), tc.cfg)

			wantWords(t, err, nil, append(tc.words, "store config")...)
		})
	}
}
