package master_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// list is a list of the API: it returns the names of a page.
type list struct {
	page func(n *node, size int32, token string) (names []string, next string, err error)
}

func lists() map[string]list {
	return map[string]list{
		"services": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListServices(n.Context(), ask(&pb.ListServicesRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListServicesResponse).GetServices, func(v *pb.ServiceView) string { return v.GetService().GetName() })
		}},
		"tasks": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListTasksResponse).GetTasks, (*pb.Task).GetId)
		}},
		"tasks of a service": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{PageSize: size, PageToken: token, Service: "s-0", Ended: true}))
			return names(m, err, (*pb.ListTasksResponse).GetTasks, (*pb.Task).GetId)
		}},
		"deployments": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListDeployments(n.Context(), ask(&pb.ListDeploymentsRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListDeploymentsResponse).GetDeployments, (*pb.Deployment).GetId)
		}},
		"revisions": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListRevisions(n.Context(), ask(&pb.ListRevisionsRequest{PageSize: size, PageToken: token, Service: "s-0"}))
			return names(m, err, (*pb.ListRevisionsResponse).GetRevisions, func(r *pb.Revision) string { return fmt.Sprint(r.GetNumber()) })
		}},
		"agents": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListAgents(n.Context(), ask(&pb.ListAgentsRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListAgentsResponse).GetAgents, func(v *pb.AgentView) string { return v.GetAgent().GetId() })
		}},
		"partitions": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListPartitions(n.Context(), ask(&pb.ListPartitionsRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListPartitionsResponse).GetPartitions, func(v *pb.PartitionView) string {
				return v.GetPartition().GetAgent() + "/" + v.GetPartition().GetId()
			})
		}},
		"pools": {func(n *node, size int32, token string) ([]string, string, error) {
			m, err := n.api.ListPools(n.Context(), ask(&pb.ListPoolsRequest{PageSize: size, PageToken: token}))
			return names(m, err, (*pb.ListPoolsResponse).GetPools, func(v *pb.PoolView) string { return v.GetPool().GetId() })
		}},
	}
}

func names[M interface{ GetNextPageToken() string }, I any](
	answer interface{ Any() any }, err error, items func(M) []I, name func(I) string,
) ([]string, string, error) {
	if err != nil {
		return nil, "", err
	}
	m := answer.Any().(M)
	var list []string
	for _, item := range items(m) {
		list = append(list, name(item))
	}
	return list, m.GetNextPageToken(), nil
}

// crowded is a cluster in which every list has several items.
func crowded(t *testing.T) *node {
	t.Helper()
	n := single(t)
	for i := range 4 {
		n.join(fmt.Sprintf("a%d", i), 2)
		must[pb.SetPoolResponse](t)(n.api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: fmt.Sprintf("p%d", i)}})))
	}
	for i := range 9 {
		n.deploy(fmt.Sprintf("service: s-%d\ninstances: 2\nresources: {cpus: 100}\nrun: {command: [v%d]}\n", i*5%9, i))
		n.deploy(fmt.Sprintf("service: s-0\ninstances: 12\nresources: {cpus: 100}\nrun: {command: [w%d]}\n", i))
		time.Sleep(time.Millisecond)
	}
	return n
}

// TestPagesAreTheList draws pages of any sizes: together they are the list.
func TestPagesAreTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := crowded(t)
		for what, list := range lists() {
			whole, next, err := list.page(n, 1000, "")
			if err != nil || next != "" || len(whole) < 4 {
				t.Fatalf("%s: %v, next %q, %v", what, whole, next, err)
			}
			rapid.Check(inBubble{t}, func(rt *rapid.T) {
				var got []string
				for token, first := "", true; first || token != ""; first = false {
					size := rapid.Int32Range(1, int32(len(whole))+1).Draw(rt, "size")
					page, next, err := list.page(n, size, token)
					if err != nil || len(page) == 0 || len(page) > int(size) || next != "" && len(page) < int(size) {
						rt.Fatalf("%s: a page of %d is %v, next %q, %v", what, size, page, next, err)
					}
					got, token = append(got, page...), next
				}
				if !slices.Equal(got, whole) {
					rt.Fatalf("%s: the pages are %v, the list is %v", what, got, whole)
				}
			})
		}
	})
}

// TestPagesWhileTheListChanges: what stays is on the pages once and in order,
// whatever comes and goes.
func TestPagesWhileTheListChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		pool := func(i int) string { return fmt.Sprintf("p-%03d", i) }
		set := func(i int) {
			must[pb.SetPoolResponse](t)(n.api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: pool(i)}})))
		}
		for i := 0; i < 40; i += 2 {
			set(i)
		}
		pools, got, token := lists()["pools"], []string(nil), ""
		for step := 0; step == 0 || token != ""; step++ {
			page, next, err := pools.page(n, 3, token)
			if err != nil {
				t.Fatal(err)
			}
			got, token = append(got, page...), next
			set(2*step + 1) // between what was and what comes
			if last := page[len(page)-1]; strings.HasSuffix(last, "4") {
				must[pb.DeletePoolResponse](t)(n.api.DeletePool(t.Context(), ask(&pb.DeletePoolRequest{Pool: last}))) // where the next page begins
			}
		}

		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("the pages are %v", got)
		}
		for i := 0; i < 40; i += 2 {
			if !slices.Contains(got, pool(i)) {
				t.Errorf("%s is on no page of %v", pool(i), got)
			}
		}
	})
}

func TestPageSizes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		for i := range 1100 {
			must[pb.SetPoolResponse](t)(n.api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: fmt.Sprintf("p-%04d", i)}})))
		}
		for size, want := range map[int32]int{0: 100, 1: 1, 1000: 1000, 1001: 1000, 1 << 30: 1000} {
			page, next, err := lists()["pools"].page(n, size, "")
			if err != nil || len(page) != want || next == "" {
				t.Errorf("a page of %d has %d, next %q, %v", size, len(page), next, err)
			}
		}
		for what, list := range lists() {
			if _, _, err := list.page(n, -1, ""); what != "revisions" && connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s: a page of -1: %v", what, err)
			}
		}
	})
}

func TestNotes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.deploy("service: other\ninstances: 0\nrun: {command: [a]}\n")
		for i := range 60 {
			n.deploy(fmt.Sprintf("service: web\ninstances: 0\nrun: {command: [v%d]}\n", i))
		}
		notes := func(after int64, size int32, service string) (list []*pb.Note, first, last int64) {
			t.Helper()
			list = must[pb.ListNotesResponse](t)(n.api.ListNotes(t.Context(), ask(&pb.ListNotesRequest{After: after, PageSize: size, Service: service}))).GetNotes()
			if len(list) == 0 {
				return nil, 0, 0
			}
			return list, list[0].GetSeq(), list[len(list)-1].GetSeq()
		}

		newest, _, last := notes(0, 10, "")
		all, first, end := notes(1, 1000, "")
		if len(newest) != 10 || last != end || first != 2 || len(all) != int(end)-1 {
			t.Errorf("the newest are %v, all are %d from %d to %d", newest, len(all), first, end)
		}
		for i, note := range all {
			if note.GetSeq() != int64(i)+2 || note.GetKind() == "" || note.GetAt() == nil {
				t.Errorf("note %d is %v", i, note)
			}
		}
		if list, from, to := notes(5, 3, ""); len(list) != 3 || from != 6 || to != 8 {
			t.Errorf("after 5 come %v", list)
		}
		if list, _, _ := notes(0, 0, "other"); len(list) == 0 || len(list) > 5 {
			t.Errorf("of one service there are %v", list)
		}
		if list, _, _ := notes(end, 0, ""); len(list) != 0 {
			t.Errorf("after the last come %v", list)
		}
	})
}

// TestLongPagesAreCut: a page has no more than clients take in one message.
func TestLongPagesAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		time.Sleep(123456789 * time.Nanosecond) // times that are not whole seconds make tasks as long as most are
		n.deploy(fmt.Sprintf("service: %s\ninstances: 6000\nrun: {command: [a]}\n", strings.Repeat("s", 60)))
		seen := make(map[string]bool)
		var cut bool

		for token, first := "", true; first || token != ""; first = false {
			page := must[pb.ListTasksResponse](t)(n.api.ListTasks(t.Context(), ask(&pb.ListTasksRequest{PageSize: 1 << 20, PageToken: token})))
			cut = cut || token == "" && len(page.GetTasks()) < 5000
			for _, listed := range page.GetTasks() {
				seen[listed.GetId()] = true
			}
			if size := proto.Size(page); size > 769<<10 {
				t.Errorf("a page has %d bytes", size)
			}
			token = page.GetNextPageToken()
		}

		if len(seen) != 6000 || !cut {
			t.Errorf("%d tasks are listed; the first page was cut: %v", len(seen), cut)
		}
	})
}
