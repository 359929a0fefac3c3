package master

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// Bounds of what a record is made of. An outside etcd takes 1.5 MiB in one
// transaction: a larger record could never be committed, and would end the term
// of every leader that tried.
const (
	specBytesMax   = 1 << 20   // a spec with its source
	agentBytesMax  = 256 << 10 // an agent's attributes and partitions
	poolBytesMax   = 64 << 10
	reasonBytesMax = 1000
	wordsBytesMax  = 4000 // what an agent says of one cause
	lastLogsMax    = 20   // lines of a failed task
)

// specSize returns an error for a spec that takes too much to keep.
func specSize(s engine.Submission) error {
	if size := len(s.Source) + proto.Size(wire.FromSpec(s.Spec)); size > specBytesMax {
		return fmt.Errorf("%s takes %d bytes to keep; want at most %d", s.Spec.Name, size, specBytesMax)
	}
	return nil
}

// clipStatus cuts what an agent says to what is kept of it. A program's last words
// are shown to operators: what would steer their terminal is taken out.
func clipStatus(m *pb.TaskStatus) {
	if m == nil {
		return
	}
	m.Reason, m.Unhealthy = clip(m.GetReason()), clip(m.GetUnhealthy())
	if m.GetLast() == nil {
		return
	}
	m.Last.Error = clip(m.Last.GetError())
	m.Last.LastLogs = m.Last.LastLogs[max(0, len(m.Last.LastLogs)-lastLogsMax):]
	for i, line := range m.Last.GetLastLogs() {
		m.Last.LastLogs[i] = clip(line)
	}
}

func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if len(text) <= wordsBytesMax {
		return text
	}
	return strings.ToValidUTF8(text[:wordsBytesMax], "")
}
