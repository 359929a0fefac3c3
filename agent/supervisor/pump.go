package supervisor

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Bounds of what is kept of an attempt's output for its exit.
const (
	lastLinesMax = 20
	lastLineMax  = 512 // bytes of one line; the rest of it is left out
)

// pump copies output from a pipe to its log, and to the last lines, until all
// writers of the pipe have gone or the pipe is closed. It holds a buffer only
// while there is something to copy: most tasks are silent most of the time.
func pump(from stream, last *lastLines, buffers *sync.Pool) {
	defer from.close()
	raw, err := from.pipe.SyscallConn()
	if err != nil {
		return // closed before it began
	}
	var current []byte // the line that has not ended
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			buffer := buffers.Get().(*[]byte)
			defer buffers.Put(buffer)
			n, failed = syscall.Read(int(fd), *buffer)
			if n > 0 {
				_, _ = from.log.Write((*buffer)[:n]) // never fails; it drops and counts
				current = last.add(current, (*buffer)[:n])
			}
			return failed != syscall.EAGAIN
		})
		if err != nil || n <= 0 && failed != syscall.EINTR {
			last.add(current, []byte{'\n'}[:min(1, len(current))])
			return
		}
	}
}

func newBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { return new(make([]byte, 32<<10)) }}
}

// lastLines keeps the newest lines of both streams of an attempt, in the order
// in which they ended.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

// add takes in what a stream printed after current, its line that had not
// ended, and returns the new such line.
func (l *lastLines) add(current, p []byte) []byte {
	end := bytes.LastIndexByte(p, '\n')
	if end < 0 {
		return clip(current, p)
	}
	complete := p[:end]
	if skip := lastLinesStart(complete); skip > 0 {
		current, complete = nil, complete[skip:]
	}
	var lines []string
	for line := range bytes.SplitSeq(complete, []byte{'\n'}) {
		lines = append(lines, strings.ToValidUTF8(string(clip(current, line)), "\uFFFD"))
		current = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, lines...)
	l.lines = l.lines[max(0, len(l.lines)-lastLinesMax):]
	return clip(nil, p[end+1:])
}

// lastLinesStart returns where in complete the last lines begin that are kept.
func lastLinesStart(complete []byte) int {
	start := len(complete)
	for range lastLinesMax {
		start = bytes.LastIndexByte(complete[:start], '\n')
		if start < 0 {
			return 0
		}
	}
	return start + 1
}

// clip returns line with more of it, up to the bound, in memory of its own.
func clip(line, more []byte) []byte {
	room := max(0, lastLineMax-len(line))
	return append(slices.Clip(line), more[:min(room, len(more))]...)
}

// newest returns the lines, oldest first.
func (l *lastLines) newest() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}
