package master_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// follower is a watch that keeps what it is told.
type follower struct {
	node    *node
	api     aloftv1connect.ClusterServiceClient
	service string

	mu       sync.Mutex // guards all below
	revision int64
	synced   bool
	told     map[string][]string // every change after the beginning, by what it is of
	notes    []string            // as far as the leader that wrote them led
	records  map[string]*pb.Record
	end      error
	stop     func()
}

// follow begins a watch of a service, "" for all.
func (n *node) follow(service string) *follower { return n.followBy(n.api, service) }

// followBy is follow by a connection of its own.
func (n *node) followBy(api aloftv1connect.ClusterServiceClient, service string) *follower {
	f := &follower{node: n, api: api, service: service, records: make(map[string]*pb.Record), told: make(map[string][]string)}
	f.resume()
	n.Cleanup(func() { f.stop() })
	return f
}

// resume goes on with the watch where it was.
func (f *follower) resume() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.node.Context()))
	var reading sync.WaitGroup
	f.stop = func() { cancel(); reading.Wait() }
	from := f.revision
	reading.Go(func() {
		stream, err := f.api.Watch(ctx, ask(&pb.WatchRequest{FromRevision: from, Service: f.service, Notes: true}))
		for err == nil && stream.Receive() {
			f.take(stream.Msg())
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.end = err; err == nil {
			f.end = stream.Err()
		}
	})
}

func (f *follower) take(m *pb.WatchResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, change := range m.GetChanges() {
		key := change.GetDeleted()
		if delete(f.records, key); key == "" {
			key = keyOf(change.GetRecord())
			f.records[key] = change.GetRecord()
		}
		if f.synced {
			f.told[key] = append(f.told[key], change.String())
		}
	}
	if len(m.GetChanges()) > 0 && m.GetRevision() < f.revision {
		f.node.Errorf("a watcher of %q is told of revision %d after %d", f.service, m.GetRevision(), f.revision)
	}
	for _, note := range m.GetNotes() {
		f.notes = append(f.notes, fmt.Sprintf("%d %s %s", note.GetSeq(), note.GetKind(), note.GetText()))
	}
	f.revision, f.synced = max(f.revision, m.GetRevision()), f.synced || m.GetSynced()
}

// changes returns every change that was told, in the order in which each thing changed:
// the next leader may tell those of one revision in another one.
func (f *follower) changes() map[string][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.told)
}

// without returns the first note that was told and that other was not, "" if there
// is none.
func (f *follower) without(other *follower) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := other.notes
	for _, note := range f.notes {
		at := slices.Index(rest, note)
		if at < 0 {
			return note
		}
		rest = rest[at+1:]
	}
	return ""
}

func (f *follower) ended() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// seen returns what is there as far as the watcher was told, once it has been told of
// all that has happened.
func (f *follower) seen() map[string]*pb.Record {
	time.Sleep(200 * time.Millisecond) // where there are many, it takes until its turn comes
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.records)
}

// listed returns all that the lists show.
func (n *node) listed() map[string]*pb.Record {
	n.Helper()
	records := make(map[string]*pb.Record)
	add := func(r *pb.Record) { records[keyOf(r)] = r }
	ctx := n.Context()
	for _, v := range must[pb.ListAgentsResponse](n.T)(n.api.ListAgents(ctx, ask(&pb.ListAgentsRequest{PageSize: 1000}))).GetAgents() {
		add(&pb.Record{Record: &pb.Record_Agent{Agent: v.GetAgent()}})
	}
	for _, v := range must[pb.ListPoolsResponse](n.T)(n.api.ListPools(ctx, ask(&pb.ListPoolsRequest{PageSize: 1000}))).GetPools() {
		add(&pb.Record{Record: &pb.Record_Pool{Pool: v.GetPool()}})
	}
	for _, d := range must[pb.ListDeploymentsResponse](n.T)(n.api.ListDeployments(ctx, ask(&pb.ListDeploymentsRequest{PageSize: 1000}))).GetDeployments() {
		add(&pb.Record{Record: &pb.Record_Deployment{Deployment: d}})
	}
	for _, t := range must[pb.ListTasksResponse](n.T)(n.api.ListTasks(ctx, ask(&pb.ListTasksRequest{Ended: true, PageSize: 5000}))).GetTasks() {
		add(&pb.Record{Record: &pb.Record_Task{Task: t}})
	}
	for _, v := range must[pb.ListServicesResponse](n.T)(n.api.ListServices(ctx, ask(&pb.ListServicesRequest{PageSize: 1000}))).GetServices() {
		add(&pb.Record{Record: &pb.Record_Service{Service: v.GetService()}})
		for _, r := range must[pb.ListRevisionsResponse](n.T)(n.api.ListRevisions(ctx, ask(&pb.ListRevisionsRequest{
			Service: v.GetService().GetName(), PageSize: 1000,
		}))).GetRevisions() {
			add(&pb.Record{Record: &pb.Record_Revision{Revision: r}})
		}
	}
	return records
}

func ofService(records map[string]*pb.Record, service string) map[string]*pb.Record {
	if service == "" {
		return records
	}
	records = maps.Clone(records)
	maps.DeleteFunc(records, func(_ string, r *pb.Record) bool {
		names := []string{
			r.GetService().GetName(), r.GetRevision().GetService(), r.GetDeployment().GetService(), r.GetTask().GetService(),
		}
		return !slices.Contains(names, service)
	})
	return records
}
