package wire

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromTask returns t as a message.
func FromTask(t *engine.Task) *pb.Task {
	return &pb.Task{
		Id: string(t.ID), Service: string(t.Service), Revision: int64(t.Revision), Run: t.Run, Copy: int32(t.Copy),
		Retry: t.Retry, Agent: string(t.Claim.Agent), Pool: string(t.Claim.Pool),
		Slices: fromSlices(t.Claim.Slices), Ports: FromPorts(t.Ports), Status: FromStatus(t.Status),
		Restart: t.Restart, CreatedAt: FromTime(t.CreatedAt),
		MovesTo: string(t.Moves.To), MovesTurn: int32(t.Moves.Turn), Follows: string(t.Follows),
	}
}

func toTask(m *pb.Task) (*engine.Task, error) {
	slices, err := toSlices(m.GetSlices())
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", m.GetId(), err)
	}
	status, err := toStatus(m.GetStatus())
	if err != nil {
		return nil, fmt.Errorf("task %s: status: %w", m.GetId(), err)
	}
	t := &engine.Task{
		ID: id.Task(m.GetId()), Service: id.Service(m.GetService()), Revision: id.Revision(m.GetRevision()),
		Run: m.GetRun(), Copy: int(m.GetCopy()), Retry: m.GetRetry(),
		Ports: toPorts(m.GetPorts()), Status: status, Restart: m.GetRestart(),
		CreatedAt: ToTime(m.GetCreatedAt()), Follows: id.Task(m.GetFollows()),
		Moves: engine.Move{To: id.Agent(m.GetMovesTo()), Turn: int(m.GetMovesTurn())},
	}
	if m.GetAgent() != "" {
		t.Claim = ledger.Claim{Task: t.ID, Agent: id.Agent(m.GetAgent()), Pool: id.Pool(m.GetPool()), Slices: slices}
	}
	return t, nil
}

// FromStatus returns s as a message. The numbers of the states are those of
// core/task.
func FromStatus(s task.Status) *pb.TaskStatus {
	return &pb.TaskStatus{
		State: pb.TaskState(s.State), Since: FromTime(s.Since), Attempt: int32(s.Attempt),
		ReadySince: FromTime(s.ReadySince), Failures: int32(s.Failures), RetryAt: FromTime(s.RetryAt),
		Last: FromExit(s.Last), Reason: s.Reason, UnhealthySince: FromTime(s.UnhealthySince), Unhealthy: s.Unhealthy,
	}
}

// ToStatus returns the status that m says.
func ToStatus(m *pb.TaskStatus) (task.Status, error) {
	if err := checkForm(m); err != nil {
		return task.Status{}, err
	}
	return toStatus(m)
}

func toStatus(m *pb.TaskStatus) (task.Status, error) {
	if m.GetState() == pb.TaskState_TASK_STATE_UNSPECIFIED {
		return task.Status{}, errors.New("state is missing")
	}
	return task.Status{
		State: task.State(m.GetState()), Since: ToTime(m.GetSince()), Attempt: int(m.GetAttempt()),
		ReadySince: ToTime(m.GetReadySince()), Failures: int(m.GetFailures()), RetryAt: ToTime(m.GetRetryAt()),
		Last: ToExit(m.GetLast()), Reason: m.GetReason(), UnhealthySince: ToTime(m.GetUnhealthySince()), Unhealthy: m.GetUnhealthy(),
	}, nil
}

// FromExit returns e as a message; nil is absent.
func FromExit(e *task.Exit) *pb.Exit {
	if e == nil {
		return nil
	}
	return &pb.Exit{
		Code: int32(e.Code), Signal: int32(e.Signal), Oom: e.OOM, Error: e.Error, At: FromTime(e.At), LastLogs: e.LastLogs,
	}
}

// ToExit returns the exit that m says; absent is nil.
func ToExit(m *pb.Exit) *task.Exit {
	if m == nil {
		return nil
	}
	return &task.Exit{
		Code: int(m.GetCode()), Signal: int(m.GetSignal()), OOM: m.GetOom(), Error: m.GetError(),
		At: ToTime(m.GetAt()), LastLogs: m.GetLastLogs(),
	}
}

// FromPorts returns ports by name as a message has them, nil for none.
func FromPorts(ports engine.Ports) map[string]int32 {
	if len(ports) == 0 {
		return nil
	}
	m := make(map[string]int32, len(ports))
	for _, port := range ports {
		m[port.Name] = int32(port.Number)
	}
	return m
}

func toPorts(m map[string]int32) (ports engine.Ports) {
	for name, number := range m { // in any order: they are sorted
		ports = ports.With(name, int(number))
	}
	return ports
}
