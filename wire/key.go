package wire

import (
	"fmt"
	"strings"

	"github.com/aloft-run/aloft/core/engine"
)

// folder returns the folder of the store that records of a kind stand in, ""
// for an unknown kind.
func folder(kind engine.Kind) string {
	switch kind {
	case engine.ClusterKind:
		return "cluster"
	case engine.AgentKind:
		return "agents"
	case engine.PoolKind:
		return "pools"
	case engine.ServiceKind:
		return "services"
	case engine.RevisionKind:
		return "revisions"
	case engine.DeploymentKind:
		return "deployments"
	case engine.TaskKind:
		return "tasks"
	default:
		return ""
	}
}

// StoreKey returns where a record stands in the store, as in tasks/web-1-3.
func StoreKey(key engine.Key) string { return folder(key.Kind) + "/" + key.ID }

// KeyOf returns the key of what stands there in the store.
func KeyOf(storeKey string) (engine.Key, error) {
	in, name, _ := strings.Cut(storeKey, "/")
	for kind := engine.ClusterKind; kind <= engine.TaskKind; kind++ {
		if folder(kind) == in && name != "" {
			return engine.Key{Kind: kind, ID: name}, nil
		}
	}
	return engine.Key{}, fmt.Errorf("key %q of the store: no such kind of record", storeKey)
}
