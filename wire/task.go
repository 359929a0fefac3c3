package wire

import (
	"fmt"

	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromStatus returns s as a message. The numbers of the states are those of
// core/task.
func FromStatus(s task.Status) *pb.TaskStatus {
	return &pb.TaskStatus{
		State: pb.TaskState(s.State), Since: FromTime(s.Since), Attempt: int32(s.Attempt),
		ReadySince: FromTime(s.ReadySince), Failures: int32(s.Failures), RetryAt: FromTime(s.RetryAt),
		Last: FromExit(s.Last), Reason: s.Reason,
	}
}

// ToStatus returns the status that m says.
func ToStatus(m *pb.TaskStatus) (task.Status, error) {
	if _, known := pb.TaskState_name[int32(m.GetState())]; !known || m.GetState() == pb.TaskState_TASK_STATE_UNSPECIFIED {
		return task.Status{}, fmt.Errorf("task state: unknown value %d", m.GetState())
	}
	return task.Status{
		State: task.State(m.GetState()), Since: ToTime(m.GetSince()), Attempt: int(m.GetAttempt()),
		ReadySince: ToTime(m.GetReadySince()), Failures: int(m.GetFailures()), RetryAt: ToTime(m.GetRetryAt()),
		Last: ToExit(m.GetLast()), Reason: m.GetReason(),
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
