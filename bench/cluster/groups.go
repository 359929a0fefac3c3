package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// groups returns the control groups that an agent keeps for its tasks, of which one
// at least must run; none where the machine has none. An agent that is killed, and
// whose supervisor is, too, leaves them behind.
func (p *Process) groups() []string {
	all, err := p.Machine()
	if err != nil {
		return nil
	}
	var found []string
	for _, program := range all {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", program.PID)) // gone: it is in none
		for line := range strings.Lines(string(text)) {
			_, path, ok := strings.Cut(strings.TrimSpace(line), ":/aloft/")
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(path, "/")
			for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
				matches, _ := filepath.Glob(filepath.Join(root, "aloft", name)) // the pattern is good
				found = append(found, matches...)
			}
		}
	}
	return found
}

// removeGroups removes control groups that nothing is in any more.
func removeGroups(groups []string) {
	for _, group := range groups {
		_ = os.Remove(group) // it may have been removed
	}
}
