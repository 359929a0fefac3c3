package master_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestPagesOfAllTasks are what the services have, in the order of their names, however
// tasks come, go and come back.
func TestPagesOfAllTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			n := single(t)
			services := []string{"a", "b", "b-1", "c"}
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				service := rapid.SampledFrom(services).Draw(rt, "service")
				switch rapid.IntRange(0, 3).Draw(rt, "what") {
				case 0:
					_, err := n.api.Stop(t.Context(), ask(&pb.StopRequest{Service: service, Remove: true}))
					n.allowed(err)
				case 1:
					_, err := n.api.Scale(t.Context(), ask(&pb.ScaleRequest{Service: service, Instances: new(rapid.Int32Range(0, 9).Draw(rt, "instances"))}))
					n.allowed(err)
				default:
					n.allowed(n.try(fmt.Sprintf("service: %s\ninstances: %d\nrun: {command: [a]}\n", service, rapid.IntRange(0, 9).Draw(rt, "instances"))))
				}
				var want []string
				for _, service := range services {
					list, err := n.api.ListTasks(t.Context(), ask(&pb.ListTasksRequest{Service: service, PageSize: 1000}))
					if n.allowed(err); err == nil { // else the service is not there
						want = append(want, namesIn(list.Msg)...)
					}
				}
				slices.Sort(want)
				var got []string
				size := rapid.Int32Range(1, 7).Draw(rt, "page size")
				for token, first := "", true; first || token != ""; first = false {
					page := must[pb.ListTasksResponse](t)(n.api.ListTasks(t.Context(), ask(&pb.ListTasksRequest{PageSize: size, PageToken: token})))
					got, token = append(got, namesIn(page)...), page.GetNextPageToken()
					if len(page.GetTasks()) > int(size) || token != "" && len(page.GetTasks()) < int(size) {
						rt.Fatalf("a page of %d has %d tasks", size, len(page.GetTasks()))
					}
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("the pages have %q, the services %q", got, want)
				}
			}
			n.close()
		})
	})
}

func namesIn(page *pb.ListTasksResponse) []string {
	var names []string
	for _, t := range page.GetTasks() {
		names = append(names, t.GetId())
	}
	return names
}
