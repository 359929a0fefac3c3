package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// step is where one deployment or job is, or what else takes a while.
type step struct {
	service        string // or what else it is about
	from, to       int64  // revisions; both 0 for a job
	settled, ready int    // of a job: finished, and nothing
	failed         int    // copies of a job
	wanted         int
	waiting        string
	instead        string // of revisions and instances, in words
}

// String returns the step on one line.
func (s step) String() string {
	text := s.service + ": "
	switch {
	case s.instead != "":
		text += s.instead
	case s.to == 0:
		text += fmt.Sprintf("%d of %d finished", s.settled, s.wanted)
		if s.failed > 0 {
			text += fmt.Sprintf(", %d failed", s.failed)
		}
	case s.from == 0:
		text += fmt.Sprintf("revision %d: %d of %d settled, %d ready", s.to, s.settled, s.wanted, s.ready)
	default:
		text += fmt.Sprintf("revision %d -> %d: %d of %d settled, %d ready", s.from, s.to, s.settled, s.wanted, s.ready)
	}
	if s.waiting != "" {
		text += "; " + s.waiting
	}
	return text
}

// progress shows several deployments at once. Its methods may be called from
// any goroutine.
type progress interface {
	step(row int, s step)
	end(row int, text string, good bool)
	close()
}

// newProgress returns a live view on a terminal, lines elsewhere, and nothing
// where JSON was asked for.
func (a *app) newProgress(out io.Writer, rows int) progress {
	if a.json {
		out = io.Discard
	}
	if isTerminal(out) && os.Getenv("TERM") != "dumb" {
		return newLive(out, rows)
	}
	return &lines{out: out, last: make(map[int]string)}
}

// lines prints a line whenever something changed.
type lines struct {
	mu   sync.Mutex // guards all below
	out  io.Writer
	last map[int]string
}

func (l *lines) step(row int, s step) { l.print(row, s.String()) }

func (l *lines) end(row int, text string, _ bool) { l.print(row, text) }

func (*lines) close() {}

func (l *lines) print(row int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last[row] != text {
		l.last[row] = text
		fmt.Fprintln(l.out, text)
	}
}
