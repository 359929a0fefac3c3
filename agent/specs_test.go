package agent_test

import (
	"os"
	"path/filepath"
	"time"

	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

func runOrders(s *spec.Spec, names ...string) *pb.Orders {
	orders := &pb.Orders{Revisions: []*pb.RevisionSpec{{Service: string(s.Name), Revision: 1, Spec: wire.FromSpec(s)}}}
	for _, name := range names {
		orders.Run = append(orders.Run, &pb.RunOrder{Task: name, Service: string(s.Name), Revision: 1})
	}
	return orders
}

// service returns a spec without probes.
func service(change ...func(*spec.Spec)) *spec.Spec { return specOf(spec.Service, change...) }

func job() *spec.Spec { return specOf(spec.Job) }

func specOf(kind spec.Kind, change ...func(*spec.Spec)) *spec.Spec {
	s := spec.New(kind, "web")
	s.Run.Command = []string{"./web"}
	for _, each := range change {
		each(s)
	}
	return s
}

// fetching has a task fetch a file, by its path or by its name in testdata.
func fetching(path string, change ...func(*spec.Artifact)) func(*spec.Spec) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			panic(err)
		}
		path = filepath.Join(here, "testdata", path)
	}
	artifact := spec.Artifact{URL: "file://" + path, Dest: "in/"}
	for _, each := range change {
		each(&artifact)
	}
	return func(s *spec.Spec) { s.Run.Fetch = append(s.Run.Fetch, artifact) }
}

// readyByFile has a task ready while the file "ready" is in its sandbox.
func readyByFile(s *spec.Spec) {
	s.Ready = spec.Probe{
		Kind: spec.CommandProbe, Command: []string{"test", "-e", "ready"}, Every: 30 * time.Second, Timeout: time.Second, Failures: 3,
	}
}

// aliveByFile has a task alive until the file "hung" is in its sandbox.
func aliveByFile(s *spec.Spec) {
	s.Alive = spec.Probe{
		Kind: spec.CommandProbe, Command: []string{"test", "!", "-e", "hung"}, Every: 30 * time.Second, Timeout: time.Second, Failures: 3,
	}
}
