package wire_test

import (
	"slices"
	"strings"
	"testing"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// TestReadsAreKnown: a call that changes something must not be made again by itself. Each call of
// the API is named here: a new one is for its author to say.
func TestReadsAreKnown(t *testing.T) {
	t.Parallel()
	changes := strings.Fields(`TransferLeadership AddMaster RemoveMaster ReplaceMaster Deploy Scale Restart Stop Rollback
		PauseDeployment ResumeDeployment AbortDeployment DrainAgent UndrainAgent RemoveAgent SetBreaker ReleaseBreaker
		SetPool DeletePool Rebalance AbortMoves`)
	streams := strings.Fields(`Backup Logs Watch`)
	reads := strings.Fields(`GetInfo ListMasters Validate Plan GetService ListServices ListRevisions ListDeployments GetDeployment
		ListTasks Explain ListAgents GetAgent ListPartitions GetBreaker ListPools GetCapacity ListMoves ListNotes`)
	services := pb.File_aloft_v1_cluster_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			name := string(methods.Get(j).Name())
			path := "/" + string(services.Get(i).FullName()) + "/" + name
			if known := slices.Concat(changes, streams, reads); !slices.Contains(known, name) {
				t.Errorf("%s: say here whether it changes something", name)
			}
			if read := wire.IsRead(path); read != slices.Contains(reads, name) {
				t.Errorf("%s: that it is a read is %v", name, read)
			}
		}
	}
	for _, path := range []string{"", "/", "/aloft.v1.AgentService/GetInfo", "/metrics"} {
		if wire.IsRead(path) {
			t.Errorf("%q is a read", path)
		}
	}
}
