package wire

import (
	"strings"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// IsRead reports whether a call, by its path, changes nothing and is answered by one message:
// who has got no answer may make it again, whatever has become of it.
func IsRead(path string) bool {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if service != aloftv1connect.ClusterServiceName {
		return false
	}
	switch method {
	case "Explain", "Plan", "Validate":
		return true
	default:
		return strings.HasPrefix(method, "Get") || strings.HasPrefix(method, "List")
	}
}
