package wire

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromService returns s as a message.
func FromService(s *engine.Service) *pb.Service {
	return &pb.Service{
		Name: string(s.Name), Kind: pb.SpecKind(s.Kind), Revision: int64(s.Revision), LastGood: int64(s.LastGood),
		Newest: int64(s.Newest), Instances: int32(s.Instances), Stopped: s.Stopped, Removing: s.Removing,
		Deployment: string(s.Deployment), Deployments: int32(s.Deployments), Tasks: s.Tasks,
		RestartedAt: FromTime(s.RestartedAt), Run: s.Run, Runs: s.Runs, NextRun: FromTime(s.NextRun),
		Result: pb.JobResult(s.Result), Version: s.Version,
		CreatedAt: FromTime(s.CreatedAt), ChangedAt: FromTime(s.ChangedAt), Breaker: fromServiceBreaker(s.Breaker),
	}
}

func toService(m *pb.Service) (*engine.Service, error) {
	if m.GetKind() == pb.SpecKind_SPEC_KIND_UNSPECIFIED {
		return nil, fmt.Errorf("service %s: kind is missing", m.GetName())
	}
	return &engine.Service{
		Name: id.Service(m.GetName()), Kind: spec.Kind(m.GetKind()), Revision: id.Revision(m.GetRevision()),
		LastGood: id.Revision(m.GetLastGood()), Newest: id.Revision(m.GetNewest()), Instances: int(m.GetInstances()),
		Stopped: m.GetStopped(), Removing: m.GetRemoving(), Deployment: id.Deployment(m.GetDeployment()),
		Deployments: int(m.GetDeployments()), Tasks: m.GetTasks(), RestartedAt: ToTime(m.GetRestartedAt()),
		Run: m.GetRun(), Runs: m.GetRuns(), NextRun: ToTime(m.GetNextRun()), Result: engine.Result(m.GetResult()), Version: m.GetVersion(),
		CreatedAt: ToTime(m.GetCreatedAt()), ChangedAt: ToTime(m.GetChangedAt()), Breaker: toServiceBreaker(m.GetBreaker()),
	}, nil
}

// FromRevision returns r as a message.
func FromRevision(r *engine.Revision) *pb.Revision {
	return &pb.Revision{
		Service: string(r.Service), Number: int64(r.Number), Generation: int64(r.Generation), Before: int64(r.Before), Spec: FromSpec(r.Spec),
		Source: r.Source, Reason: r.Reason, CreatedAt: FromTime(r.CreatedAt),
	}
}

func toRevision(m *pb.Revision) (*engine.Revision, error) {
	s, err := toSpec(m.GetSpec())
	if err != nil {
		return nil, fmt.Errorf("revision %d of %s: %w", m.GetNumber(), m.GetService(), err)
	}
	return &engine.Revision{
		Service: id.Service(m.GetService()), Number: id.Revision(m.GetNumber()), Generation: id.Revision(m.GetGeneration()), Before: id.Revision(m.GetBefore()),
		Spec: s, Source: m.GetSource(), Reason: m.GetReason(), CreatedAt: ToTime(m.GetCreatedAt()),
	}, nil
}

// FromDeployment returns d as a message. Of its progress, the failures that were
// seen are left out: every leader counts them for itself.
func FromDeployment(d *engine.Deployment) *pb.Deployment {
	m := &pb.Deployment{
		Id: string(d.ID), Service: string(d.Service), From: int64(d.From), To: int64(d.To),
		State: pb.DeploymentState(d.State), Reason: d.Reason, Automatic: d.Automatic,
		FromStopped: d.FromStopped,
		Wanted:      int32(d.Progress.Wanted), Settled: int32(d.Progress.Settled), Old: int32(d.Progress.Old),
		FailuresInRow: int32(d.Progress.FailuresInRow), ProgressAt: FromTime(d.Progress.At), Peak: int32(d.Peak),
		StartedAt: FromTime(d.StartedAt), PausedAt: FromTime(d.PausedAt), EndedAt: FromTime(d.EndedAt),
	}
	if f := d.Failure; f != nil {
		m.Failure = &pb.Failure{Task: string(f.Task), Exit: FromExit(&f.Exit)}
	}
	return m
}

func toDeployment(m *pb.Deployment) (*engine.Deployment, error) {
	if m.GetState() == pb.DeploymentState_DEPLOYMENT_STATE_UNSPECIFIED {
		return nil, fmt.Errorf("deployment %s: state is missing", m.GetId())
	}
	d := &engine.Deployment{
		ID: id.Deployment(m.GetId()), Service: id.Service(m.GetService()),
		From: id.Revision(m.GetFrom()), To: id.Revision(m.GetTo()), State: engine.DeploymentState(m.GetState()),
		Reason: m.GetReason(), Automatic: m.GetAutomatic(), Peak: int(m.GetPeak()),
		FromStopped: m.GetFromStopped(),
		Progress: rollout.Progress{
			Wanted: int(m.GetWanted()), Settled: int(m.GetSettled()), Old: int(m.GetOld()),
			At: ToTime(m.GetProgressAt()), FailuresInRow: int(m.GetFailuresInRow()),
			Paused: m.GetState() == pb.DeploymentState_DEPLOYMENT_STATE_PAUSED,
		},
		StartedAt: ToTime(m.GetStartedAt()), PausedAt: ToTime(m.GetPausedAt()), EndedAt: ToTime(m.GetEndedAt()),
	}
	if f := m.GetFailure(); f != nil {
		exit := ToExit(f.GetExit())
		if exit == nil {
			return nil, errors.New("deployment " + m.GetId() + ": failure.exit is missing")
		}
		d.Failure = &engine.Failure{Task: id.Task(f.GetTask()), Exit: *exit}
	}
	return d, nil
}

// FromNote returns n as a message with that number.
func FromNote(seq int64, n engine.Note) *pb.Note {
	return &pb.Note{
		Seq: seq, At: FromTime(n.At), Kind: string(n.Kind), Service: string(n.Service), Deployment: string(n.Deployment),
		Task: string(n.Task), Agent: string(n.Agent), Pool: string(n.Pool), Text: n.Text,
	}
}
