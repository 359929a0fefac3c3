package wire

import (
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromVersion returns v as a message.
func FromVersion(v route.Version) *pb.TableVersion {
	return &pb.TableVersion{Epoch: v.Epoch, Seq: v.Seq}
}

// ToVersion returns the version that m says.
func ToVersion(m *pb.TableVersion) route.Version {
	return route.Version{Epoch: m.GetEpoch(), Seq: m.GetSeq()}
}

// FromTable returns t as a message.
func FromTable(t route.Table) *pb.RouteTable {
	m := &pb.RouteTable{Version: FromVersion(t.Version)}
	for _, s := range t.Services {
		service := &pb.RouteService{Name: string(s.Name), Hold: FromDuration(s.Hold), QueueMax: int32(s.QueueMax)}
		for _, r := range s.Rules {
			if r.IsTCP() {
				service.Ports = append(service.Ports, int32(r.Port))
				continue
			}
			service.Rules = append(service.Rules, &pb.RouteRule{Host: r.Host, Path: r.Path})
		}
		for _, e := range s.Endpoints {
			service.Endpoints = append(service.Endpoints, &pb.Endpoint{
				Task: string(e.Task), Revision: int64(e.Revision), Address: e.Address, Suspect: e.Suspect,
			})
		}
		m.Services = append(m.Services, service)
	}
	return m
}

// ToTable returns the table that m says. Whether its rules make sense is found
// when it is compiled.
func ToTable(m *pb.RouteTable) route.Table {
	t := route.Table{Version: ToVersion(m.GetVersion())}
	for _, s := range m.GetServices() {
		service := route.Service{
			Name: id.Service(s.GetName()), Hold: s.GetHold().AsDuration(), QueueMax: int(s.GetQueueMax()),
		}
		for _, r := range s.GetRules() {
			service.Rules = append(service.Rules, route.Rule{Host: r.GetHost(), Path: r.GetPath()})
		}
		for _, port := range s.GetPorts() {
			service.Rules = append(service.Rules, route.Rule{Port: int(port)})
		}
		for _, e := range s.GetEndpoints() {
			service.Endpoints = append(service.Endpoints, route.Endpoint{
				Task: id.Task(e.GetTask()), Revision: id.Revision(e.GetRevision()), Address: e.GetAddress(), Suspect: e.GetSuspect(),
			})
		}
		t.Services = append(t.Services, service)
	}
	return t
}

// FromConfirmation returns c as a message.
func FromConfirmation(c route.Confirmation) *pb.RouterServiceSessionRequest {
	m := &pb.RouterServiceSessionRequest{Router: string(c.Router), Applied: FromVersion(c.Version)}
	for _, b := range c.Busy {
		m.Busy = append(m.Busy, &pb.BusyTask{Task: string(b.Task), Requests: int32(b.Requests)})
	}
	for _, port := range c.Closed {
		m.ClosedPorts = append(m.ClosedPorts, int32(port))
	}
	return m
}

// ToConfirmation returns the confirmation that m says.
func ToConfirmation(m *pb.RouterServiceSessionRequest) route.Confirmation {
	c := route.Confirmation{Router: id.Router(m.GetRouter()), Version: ToVersion(m.GetApplied())}
	for _, b := range m.GetBusy() {
		c.Busy = append(c.Busy, route.Busy{Task: id.Task(b.GetTask()), Requests: int(b.GetRequests())})
	}
	for _, port := range m.GetClosedPorts() {
		c.Closed = append(c.Closed, int(port))
	}
	return c
}
