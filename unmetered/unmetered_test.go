package unmetered_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "go.etcd.io/etcd/server/v3/embed" // has metrics

	_ "github.com/aloft-run/aloft/unmetered"
)

// TestEtcdRegistersNothing: this comes before etcd, which has the default registry hold none
// of its metrics.
func TestEtcdRegistersNothing(t *testing.T) {
	t.Parallel()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) == 0 {
		t.Fatal("the default registry is empty: not even Go's own metrics are there")
	}
	for _, family := range families {
		if name := family.GetName(); !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is registered", name)
		}
	}
	if prometheus.Unregister(collectors.NewGoCollector()) {
		t.Error("what nobody holds was there")
	}
}
