package wire

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// kindNames are the folders of the store, by the kind of what is in them.
func kindNames() map[engine.Kind]string {
	return map[engine.Kind]string{
		engine.AgentKind:      "agents",
		engine.PoolKind:       "pools",
		engine.ServiceKind:    "services",
		engine.RevisionKind:   "revisions",
		engine.DeploymentKind: "deployments",
		engine.TaskKind:       "tasks",
	}
}

// Prefixes returns the folders of the store in the order in which the engine
// loads them.
func Prefixes() []string {
	names := kindNames()
	list := make([]string, 0, len(names))
	for kind := engine.AgentKind; kind <= engine.TaskKind; kind++ {
		list = append(list, names[kind]+"/")
	}
	return list
}

// StoreKey returns where a record stands in the store, as in tasks/web-1-3.
func StoreKey(key engine.Key) string { return kindNames()[key.Kind] + "/" + key.ID }

// KeyOf returns the key of what stands there in the store.
func KeyOf(storeKey string) (engine.Key, error) {
	folder, name, _ := strings.Cut(storeKey, "/")
	for kind, n := range kindNames() {
		if n == folder && name != "" {
			return engine.Key{Kind: kind, ID: name}, nil
		}
	}
	return engine.Key{}, fmt.Errorf("key %q of the store: no such kind of record", storeKey)
}

// Marshal returns what the store keeps of a record.
func Marshal(record engine.Record) ([]byte, error) { return proto.Marshal(FromRecord(record)) }

// Unmarshal returns the record that Marshal made value from.
func Unmarshal(value []byte) (engine.Record, error) {
	var m pb.Record
	if err := proto.Unmarshal(value, &m); err != nil {
		return nil, err
	}
	return ToRecord(&m)
}

// FromRecord returns record as a message.
func FromRecord(record engine.Record) *pb.Record {
	switch r := record.(type) {
	case *engine.Agent:
		return &pb.Record{Record: &pb.Record_Agent{Agent: FromAgent(r)}}
	case *engine.Pool:
		return &pb.Record{Record: &pb.Record_Pool{Pool: FromPool(r)}}
	case *engine.Service:
		return &pb.Record{Record: &pb.Record_Service{Service: FromService(r)}}
	case *engine.Revision:
		return &pb.Record{Record: &pb.Record_Revision{Revision: FromRevision(r)}}
	case *engine.Deployment:
		return &pb.Record{Record: &pb.Record_Deployment{Deployment: FromDeployment(r)}}
	case *engine.Task:
		return &pb.Record{Record: &pb.Record_Task{Task: FromTask(r)}}
	default:
		panic(fmt.Sprintf("record of unknown type %T", record))
	}
}

// ToRecord returns the record that m says.
func ToRecord(m *pb.Record) (engine.Record, error) {
	switch r := m.GetRecord().(type) {
	case *pb.Record_Agent:
		return ToAgent(r.Agent)
	case *pb.Record_Pool:
		pool, err := ToPool(r.Pool)
		return &engine.Pool{Pool: pool, Version: r.Pool.GetVersion()}, err
	case *pb.Record_Service:
		return ToService(r.Service), nil
	case *pb.Record_Revision:
		return toRevision(r.Revision)
	case *pb.Record_Deployment:
		return toDeployment(r.Deployment), nil
	case *pb.Record_Task:
		return toTask(r.Task)
	default:
		return nil, errors.New("record of a kind that this version does not know")
	}
}

// FromAgent returns a as a message.
func FromAgent(a *engine.Agent) *pb.Agent {
	return &pb.Agent{
		Id: string(a.ID), BootId: a.BootID, Hostname: a.Hostname, Version: a.Version, Address: a.Address,
		Attributes: a.Attributes, Partitions: FromPartitions(a.ID, a.Partitions),
		Draining: a.Draining, DrainedBy: FromTime(a.DrainedBy), JoinedAt: FromTime(a.JoinedAt),
		SilentSince: FromTime(a.SilentSince),
	}
}

// ToAgent returns the agent that m says. Whether the books hold it closed
// follows from the rest when it is loaded.
func ToAgent(m *pb.Agent) (*engine.Agent, error) {
	partitions, err := ToPartitions(m.GetPartitions())
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", m.GetId(), err)
	}
	return &engine.Agent{
		Agent:  ledger.Agent{ID: id.Agent(m.GetId()), Attributes: m.GetAttributes(), Partitions: partitions},
		BootID: m.GetBootId(), Hostname: m.GetHostname(), Version: m.GetVersion(), Address: m.GetAddress(),
		Draining: m.GetDraining(), DrainedBy: ToTime(m.GetDrainedBy()), JoinedAt: ToTime(m.GetJoinedAt()),
		SilentSince: ToTime(m.GetSilentSince()),
	}, nil
}

// FromPool returns p as a message.
func FromPool(p *engine.Pool) *pb.Pool {
	return &pb.Pool{
		Id: string(p.ID), Quantities: FromVector(p.Quantity), Priority: int32(p.Priority), Version: p.Version,
	}
}

// FromService returns s as a message.
func FromService(s *engine.Service) *pb.Service {
	return &pb.Service{
		Name: string(s.Name), Kind: pb.SpecKind(s.Kind), Revision: int64(s.Revision), LastGood: int64(s.LastGood),
		Newest: int64(s.Newest), Instances: int32(s.Instances), Stopped: s.Stopped, Removing: s.Removing,
		Deployment: string(s.Deployment), Deployments: int32(s.Deployments), Tasks: s.Tasks,
		RestartedAt: FromTime(s.RestartedAt), Run: s.Run, NextRun: FromTime(s.NextRun),
		Result: pb.JobResult(s.Result), Version: s.Version,
		CreatedAt: FromTime(s.CreatedAt), ChangedAt: FromTime(s.ChangedAt),
	}
}

// ToService returns the service that m says.
func ToService(m *pb.Service) *engine.Service {
	return &engine.Service{
		Name: id.Service(m.GetName()), Kind: spec.Kind(m.GetKind()), Revision: id.Revision(m.GetRevision()),
		LastGood: id.Revision(m.GetLastGood()), Newest: id.Revision(m.GetNewest()), Instances: int(m.GetInstances()),
		Stopped: m.GetStopped(), Removing: m.GetRemoving(), Deployment: id.Deployment(m.GetDeployment()),
		Deployments: int(m.GetDeployments()), Tasks: m.GetTasks(), RestartedAt: ToTime(m.GetRestartedAt()),
		Run: m.GetRun(), NextRun: ToTime(m.GetNextRun()), Result: engine.Result(m.GetResult()), Version: m.GetVersion(),
		CreatedAt: ToTime(m.GetCreatedAt()), ChangedAt: ToTime(m.GetChangedAt()),
	}
}

// FromRevision returns r as a message.
func FromRevision(r *engine.Revision) *pb.Revision {
	return &pb.Revision{
		Service: string(r.Service), Number: int64(r.Number), Generation: int64(r.Generation), Spec: FromSpec(r.Spec),
		Source: r.Source, Reason: r.Reason, CreatedAt: FromTime(r.CreatedAt),
	}
}

func toRevision(m *pb.Revision) (*engine.Revision, error) {
	s, err := ToSpec(m.GetSpec())
	if err != nil {
		return nil, fmt.Errorf("revision %d of %s: %w", m.GetNumber(), m.GetService(), err)
	}
	return &engine.Revision{
		Service: id.Service(m.GetService()), Number: id.Revision(m.GetNumber()), Generation: id.Revision(m.GetGeneration()),
		Spec: s, Source: m.GetSource(), Reason: m.GetReason(), CreatedAt: ToTime(m.GetCreatedAt()),
	}, nil
}

// FromDeployment returns d as a message.
func FromDeployment(d *engine.Deployment) *pb.Deployment {
	m := &pb.Deployment{
		Id: string(d.ID), Service: string(d.Service), From: int64(d.From), To: int64(d.To),
		State: pb.DeploymentState(d.State), Reason: d.Reason, Automatic: d.Automatic,
		Settled: int32(d.Progress.Settled), Old: int32(d.Progress.Old), FailuresInRow: int32(d.Progress.FailuresInRow),
		ProgressAt: FromTime(d.Progress.At), Peak: int32(d.Peak),
		StartedAt: FromTime(d.StartedAt), PausedAt: FromTime(d.PausedAt), EndedAt: FromTime(d.EndedAt),
	}
	if f := d.Failure; f != nil {
		m.Failure = &pb.Failure{Task: string(f.Task), Exit: FromExit(&f.Exit)}
	}
	return m
}

func toDeployment(m *pb.Deployment) *engine.Deployment {
	d := &engine.Deployment{
		ID: id.Deployment(m.GetId()), Service: id.Service(m.GetService()),
		From: id.Revision(m.GetFrom()), To: id.Revision(m.GetTo()), State: engine.DeploymentState(m.GetState()),
		Reason: m.GetReason(), Automatic: m.GetAutomatic(), Peak: int(m.GetPeak()),
		Progress: rollout.Progress{
			Settled: int(m.GetSettled()), Old: int(m.GetOld()),
			At: ToTime(m.GetProgressAt()), FailuresInRow: int(m.GetFailuresInRow()),
		},
		StartedAt: ToTime(m.GetStartedAt()), PausedAt: ToTime(m.GetPausedAt()), EndedAt: ToTime(m.GetEndedAt()),
	}
	if f := m.GetFailure(); f != nil {
		d.Failure = &engine.Failure{Task: id.Task(f.GetTask()), Exit: *ToExit(f.GetExit())}
	}
	return d
}

// FromTask returns t as a message.
func FromTask(t *engine.Task) *pb.Task {
	return &pb.Task{
		Id: string(t.ID), Service: string(t.Service), Revision: int64(t.Revision), Run: t.Run, Copy: int32(t.Copy),
		Retry: int32(t.Retry), Agent: string(t.Claim.Agent), Pool: string(t.Claim.Pool),
		Slices: fromSlices(t.Claim.Slices), Ports: fromPorts(t.Ports), Status: FromStatus(t.Status),
		Restart: t.Restart, CreatedAt: FromTime(t.CreatedAt), NotBefore: FromTime(t.NotBefore),
	}
}

func toTask(m *pb.Task) (*engine.Task, error) {
	slices, err := toSlices(m.GetSlices())
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", m.GetId(), err)
	}
	status, err := ToStatus(m.GetStatus())
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", m.GetId(), err)
	}
	t := &engine.Task{
		ID: id.Task(m.GetId()), Service: id.Service(m.GetService()), Revision: id.Revision(m.GetRevision()),
		Run: m.GetRun(), Copy: int(m.GetCopy()), Retry: int(m.GetRetry()),
		Ports: ToPorts(m.GetPorts()), Status: status, Restart: m.GetRestart(),
		CreatedAt: ToTime(m.GetCreatedAt()), NotBefore: ToTime(m.GetNotBefore()),
	}
	if m.GetAgent() != "" {
		t.Claim = ledger.Claim{Task: t.ID, Agent: id.Agent(m.GetAgent()), Pool: id.Pool(m.GetPool()), Slices: slices}
	}
	return t, nil
}

// FromNote returns n as a message with that number.
func FromNote(seq int64, n engine.Note) *pb.Note {
	return &pb.Note{
		Seq: seq, At: FromTime(n.At), Kind: string(n.Kind), Service: string(n.Service), Deployment: string(n.Deployment),
		Task: string(n.Task), Agent: string(n.Agent), Pool: string(n.Pool), Text: n.Text,
	}
}
