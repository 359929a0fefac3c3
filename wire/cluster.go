package wire

import (
	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromCluster returns c as a message.
func FromCluster(c *engine.Cluster) *pb.Cluster { return &pb.Cluster{Tasks: c.Tasks} }

func toCluster(m *pb.Cluster) *engine.Cluster { return &engine.Cluster{Tasks: m.GetTasks()} }
