package cli

import (
	"fmt"
	"strings"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// restartText says how far a restart is: of the service, or of single tasks; "" while
// none is under way. It is over when the last instance that was to be replaced has ended.
func (a *app) restartText(v *pb.ServiceView) string {
	at := v.GetService().GetRestartedAt()
	var single []string
	left, replaced := 0, 0
	for _, t := range v.GetTasks() {
		switch {
		case ended(t):
		case at != nil && t.GetCreatedAt().AsTime().Before(at.AsTime()):
			left++
		case t.GetRestart():
			single = append(single, t.GetId())
		case t.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY:
			replaced++
		}
	}
	switch {
	case left > 0:
		return fmt.Sprintf("%d of %d replaced, begun %s ago", min(replaced, int(v.GetWanted())), v.GetWanted(), a.age(at))
	case len(single) > 0:
		return strings.Join(single, ", ") + " to be replaced"
	default:
		return ""
	}
}
