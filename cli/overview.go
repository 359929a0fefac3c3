package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// clusterStatus prints the cluster in a few lines.
func (a *app) clusterStatus(ctx context.Context, w io.Writer) error {
	info, err := ask(ctx, a, clusterAPI.GetInfo, &pb.GetInfoRequest{})
	if err != nil {
		return err
	}
	services, err := pages(ctx, a, clusterAPI.ListServices, &pb.ListServicesRequest{})
	if err != nil {
		return err
	}
	agents, err := pages(ctx, a, clusterAPI.ListAgents, &pb.ListAgentsRequest{})
	if err != nil {
		return err
	}
	breaker, err := ask(ctx, a, clusterAPI.GetBreaker, &pb.GetBreakerRequest{})
	if err != nil {
		return err
	}
	masters, err := ask(ctx, a, clusterAPI.ListMasters, &pb.ListMastersRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return printJoined(w, info, services, agents, breaker, masters)
	}
	fmt.Fprintf(w, "master: %s leads for %s, epoch %d, aloft %s\n", info.GetMaster(), a.age(info.GetLeadingSince()), info.GetEpoch(), info.GetVersion())
	a.showOpenBreakers(w, breaker.GetBreaker(), "; see 'aloft breaker'")
	a.showRoom(w, info.GetRoom())
	a.showAiling(w, masters.GetMasters())
	fmt.Fprintf(w, "agents: %s\n", tally(agents.GetAgents(), (*pb.AgentView).GetState))
	fmt.Fprintf(w, "routers: %s\n", tally(info.GetRouters(), routerState))
	for _, r := range info.GetRouters() {
		for _, port := range r.GetClosedPorts() {
			fmt.Fprintf(w, "  %s cannot listen on port %d, which a service has a route for; its log tells why\n", r.GetId(), port)
		}
	}
	fmt.Fprintf(w, "services: %s\n", tally(services.GetServices(), (*pb.ServiceView).GetState))
	for _, v := range services.GetServices() {
		if v.GetReason() != "" {
			fmt.Fprintf(w, "  %s is %s: %s\n", v.GetService().GetName(), v.GetState(), v.GetReason())
		}
	}
	return nil
}

// showAiling says which masters need somebody.
func (a *app) showAiling(w io.Writer, masters []*pb.MasterInfo) {
	for _, m := range masters {
		if m.GetRole() == "absent" {
			fmt.Fprintln(w, a.alarm(fmt.Sprintf("master %s is absent; see 'aloft masters'", m.GetId())))
		}
	}
	for _, line := range lowDisks(masters) {
		fmt.Fprintln(w, a.alarm(line))
	}
}

// showRoom says when the masters' store needs somebody.
func (a *app) showRoom(w io.Writer, room *pb.StoreRoom) {
	if !room.GetScarce() && !room.GetFull() {
		return
	}
	size := func(bytes int64) string { return resource.Format(resource.Mem, resource.Scalar(bytes)) }
	line := fmt.Sprintf("store: %s of %s are used", size(room.GetUsedBytes()), size(room.GetQuotaBytes()))
	if room.GetFull() {
		line += "; changes are refused until something is removed, or the masters have a higher --quota"
	}
	fmt.Fprintln(w, a.alarm(line))
}

func routerState(r *pb.RouterInfo) string {
	if r.GetConnected() {
		return "connected"
	}
	return "out of reach"
}

// printJoined prints several answers as one object.
func printJoined(w io.Writer, answers ...proto.Message) error {
	joined := make(map[string]json.RawMessage)
	for _, answer := range answers {
		text, err := marshalJSON(answer)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &joined); err != nil {
			return err
		}
	}
	delete(joined, "next_page_token")
	return printJSON(w, joined)
}

// tally counts items by a word, as in "3 running, 1 pending".
func tally[T any](items []T, word func(T) string) string {
	counts := make(map[string]int)
	var words []string
	for _, item := range items {
		if counts[word(item)]++; counts[word(item)] == 1 {
			words = append(words, word(item))
		}
	}
	slices.Sort(words)
	parts := make([]string, 0, len(words))
	for _, w := range words {
		parts = append(parts, fmt.Sprintf("%d %s", counts[w], w))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}
