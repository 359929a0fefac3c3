package wire

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromSpec returns s as a message. The enums of spec.proto have the numbers of
// core/spec, except that 0 is always "unspecified".
func FromSpec(s *spec.Spec) *pb.Spec {
	m := &pb.Spec{
		Kind:      pb.SpecKind(s.Kind),
		Name:      string(s.Name),
		Pools:     fromNames(s.Pools),
		Instances: int32(s.Instances),
		Resources: FromVector(s.Resources),
		Run: &pb.Run{
			Command: s.Run.Command, Shell: s.Run.Shell, Env: s.Run.Env, Dir: s.Run.Dir, User: s.Run.User,
		},
		Ready:       fromProbe(s.Ready),
		Alive:       fromProbe(s.Alive),
		Deploy:      fromDeploy(s.Deploy),
		Placement:   fromPlacement(s.Placement),
		Logs:        &pb.Logs{SizeBytes: s.Logs.SizeBytes, Files: int32(s.Logs.Files)},
		LostAfter:   FromDuration(s.OnLost.After),
		OnPartition: pb.OnPartition(s.OnPartition + 1),
		User:        s.User,
		Retries:     int32(s.Retries),
		Timeout:     FromDuration(s.Timeout),
	}
	for _, a := range s.Run.Fetch {
		m.Run.Fetch = append(m.Run.Fetch, &pb.Artifact{
			Url: a.URL, Sha256: a.SHA256, Dest: a.Dest, Unpack: a.Unpack, Executable: a.Executable,
		})
	}
	for _, p := range s.Ports {
		m.Ports = append(m.Ports, &pb.Port{Name: p.Name, Number: int32(p.Number)})
	}
	for _, r := range s.Routes {
		m.Routes = append(m.Routes, &pb.Route{
			Host: r.Host, Path: r.Path, Listen: int32(r.Listen), Port: r.Port, Hold: FromDuration(r.Hold),
		})
	}
	if s.Schedule != (spec.Schedule{}) {
		m.Schedule = &pb.Schedule{
			Line: s.Schedule.Line, Timezone: s.Schedule.Timezone, Overlap: pb.Overlap(s.Schedule.Overlap + 1),
		}
	}
	return m
}

func fromProbe(p spec.Probe) *pb.Probe {
	if p.Kind == spec.NoProbe {
		return nil
	}
	return &pb.Probe{
		Kind: pb.ProbeKind(p.Kind), Path: p.Path, Service: p.Service, Command: p.Command, Port: p.Port,
		Every: FromDuration(p.Every), Timeout: FromDuration(p.Timeout), Failures: int32(p.Failures),
	}
}

func fromAmount(a spec.Amount) *pb.Amount {
	return &pb.Amount{Count: int32(a.Count), Percent: int32(a.Percent)}
}

func fromDeploy(d spec.Deploy) *pb.Deploy {
	return &pb.Deploy{
		Surge: fromAmount(d.Surge), Unavailable: fromAmount(d.Unavailable),
		Settle: FromDuration(d.Settle), Deadline: FromDuration(d.Deadline),
		Drain: FromDuration(d.Drain), Grace: FromDuration(d.Grace),
		Failures: int32(d.Failures), OnFailure: pb.OnFailure(d.OnFailure + 1),
	}
}

func fromPlacement(p spec.Placement) *pb.Placement {
	m := &pb.Placement{Spread: p.Spread}
	for _, c := range p.Where {
		m.Where = append(m.Where, &pb.Constraint{
			Attribute: c.Attribute, Operator: pb.Operator(c.Operator), Values: c.Values,
		})
	}
	return m
}

// ToSpec returns the spec that m says. It checks the form only: the spec was
// validated when it was decoded.
func ToSpec(m *pb.Spec) (*spec.Spec, error) {
	if err := checkForm(m); err != nil {
		return nil, fmt.Errorf("spec %s: %w", m.GetName(), err)
	}
	return toSpec(m)
}

func toSpec(m *pb.Spec) (*spec.Spec, error) {
	if m == nil {
		return nil, errors.New("spec is missing")
	}
	if err := missing(m); err != nil {
		return nil, fmt.Errorf("spec %s: %w", m.GetName(), err)
	}
	resources, err := ToVector(m.GetResources())
	if err != nil {
		return nil, fmt.Errorf("spec %s: resources: %w", m.GetName(), err)
	}
	s := &spec.Spec{
		Kind:        spec.Kind(m.GetKind()),
		Name:        id.Service(m.GetName()),
		Pools:       toNames[id.Pool](m.GetPools()),
		Instances:   int(m.GetInstances()),
		Resources:   resources,
		Run:         toRun(m.GetRun()),
		Ready:       toProbe(m.GetReady()),
		Alive:       toProbe(m.GetAlive()),
		Deploy:      toDeploy(m.GetDeploy()),
		Placement:   toPlacement(m.GetPlacement()),
		Logs:        spec.Logs{SizeBytes: m.GetLogs().GetSizeBytes(), Files: int(m.GetLogs().GetFiles())},
		OnLost:      spec.OnLost{After: m.GetLostAfter().AsDuration()},
		OnPartition: spec.OnPartition(max(0, m.GetOnPartition()-1)),
		User:        m.GetUser(),
		Retries:     int(m.GetRetries()),
		Timeout:     m.GetTimeout().AsDuration(),
	}
	for _, p := range m.GetPorts() {
		s.Ports = append(s.Ports, spec.Port{Name: p.GetName(), Number: int(p.GetNumber())})
	}
	for _, r := range m.GetRoutes() {
		s.Routes = append(s.Routes, spec.Route{
			Host: r.GetHost(), Path: r.GetPath(), Listen: int(r.GetListen()), Port: r.GetPort(), Hold: r.GetHold().AsDuration(),
		})
	}
	if c := m.GetSchedule(); c != nil {
		s.Schedule = spec.Schedule{Line: c.GetLine(), Timezone: c.GetTimezone(), Overlap: spec.Overlap(c.GetOverlap() - 1)}
	}
	return s, nil
}

// missing names what a spec must tell and does not.
func missing(m *pb.Spec) error {
	var problems []error
	if m.GetKind() == pb.SpecKind_SPEC_KIND_UNSPECIFIED {
		problems = append(problems, errors.New("kind is missing"))
	}
	if m.GetSchedule() != nil && m.GetSchedule().GetOverlap() == pb.Overlap_OVERLAP_UNSPECIFIED {
		problems = append(problems, errors.New("schedule.overlap is missing"))
	}
	for i, c := range m.GetPlacement().GetWhere() {
		if c.GetOperator() == pb.Operator_OPERATOR_UNSPECIFIED {
			problems = append(problems, fmt.Errorf("placement.where[%d].operator is missing", i))
		}
	}
	return errors.Join(problems...)
}

func toRun(m *pb.Run) spec.Run {
	r := spec.Run{
		Command: m.GetCommand(), Shell: m.GetShell(), Env: m.GetEnv(), Dir: m.GetDir(), User: m.GetUser(),
	}
	for _, a := range m.GetFetch() {
		r.Fetch = append(r.Fetch, spec.Artifact{
			URL: a.GetUrl(), SHA256: a.GetSha256(), Dest: a.GetDest(), Unpack: a.GetUnpack(), Executable: a.GetExecutable(),
		})
	}
	return r
}

func toProbe(m *pb.Probe) spec.Probe {
	return spec.Probe{
		Kind: spec.ProbeKind(m.GetKind()), Path: m.GetPath(), Service: m.GetService(), Command: m.GetCommand(),
		Port: m.GetPort(), Every: m.GetEvery().AsDuration(), Timeout: m.GetTimeout().AsDuration(),
		Failures: int(m.GetFailures()),
	}
}

func toAmount(m *pb.Amount) spec.Amount {
	return spec.Amount{Count: int(m.GetCount()), Percent: int(m.GetPercent())}
}

func toDeploy(m *pb.Deploy) spec.Deploy {
	return spec.Deploy{
		Surge: toAmount(m.GetSurge()), Unavailable: toAmount(m.GetUnavailable()),
		Settle: m.GetSettle().AsDuration(), Deadline: m.GetDeadline().AsDuration(),
		Drain: m.GetDrain().AsDuration(), Grace: m.GetGrace().AsDuration(),
		Failures: int(m.GetFailures()), OnFailure: spec.OnFailure(max(0, m.GetOnFailure()-1)),
	}
}

func toPlacement(m *pb.Placement) spec.Placement {
	p := spec.Placement{Spread: m.GetSpread()}
	for _, c := range m.GetWhere() {
		p.Where = append(p.Where, spec.Constraint{
			Attribute: c.GetAttribute(), Operator: spec.Operator(c.GetOperator()), Values: c.GetValues(),
		})
	}
	return p
}

// fromNames and toNames turn names of one kind into text and back.
func fromNames[T ~string](names []T) []string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return list
}

func toNames[T ~string](names []string) []T {
	var list []T
	for _, n := range names {
		list = append(list, T(n))
	}
	return list
}
