package supervisor

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
//
// When it is paused it leaves the pipe open and returns what it has of a line,
// for the one that goes on; else it returns false.
func pump(from stream, last *lastLines, buffers *sync.Pool, paused *atomic.Bool) (rest []byte, goesOn bool) {
	raw, err := from.pipe.SyscallConn()
	if err != nil {
		from.close()
		return nil, false // closed before it began
	}
	current := from.rest // the line that has not ended
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
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && paused.Load():
			_ = from.log.Close() // what could not be written was counted
			return current, true
		case err != nil || n <= 0 && failed != syscall.EINTR:
			last.add(current, []byte{'\n'}[:min(1, len(current))])
			from.close()
			return nil, false
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
