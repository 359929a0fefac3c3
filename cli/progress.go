package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// barWidth is the length of a progress bar, in characters.
const barWidth = 24

// step is where one deployment or job is.
type step struct {
	service        string
	from, to       int64
	settled, ready int
	wanted         int
	waiting        string
}

// String returns the step on one line.
func (s step) String() string {
	text := fmt.Sprintf("%s: ", s.service)
	if s.to > 0 {
		text += fmt.Sprintf("revision %d -> %d, ", s.from, s.to)
	}
	text += fmt.Sprintf("%d of %d done", s.settled, s.wanted)
	if s.to > 0 {
		text += fmt.Sprintf(", %d ready", s.ready)
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
func (a *app) newProgress(cmd *cobra.Command, rows int) progress {
	out := cmd.OutOrStdout()
	if a.json {
		out = io.Discard
	}
	if file, ok := out.(interface {
		io.Writer
		Fd() uintptr
	}); ok && term.IsTerminal(int(file.Fd())) {
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

func (l *lines) print(row int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last[row] != text {
		l.last[row] = text
		fmt.Fprintln(l.out, text)
	}
}

func (l *lines) step(row int, s step)             { l.print(row, s.String()) }
func (l *lines) end(row int, text string, _ bool) { l.print(row, text) }
func (l *lines) close()                           {}

// live draws a bar for each deployment, again and again in the same place.
type live struct {
	program *tea.Program
	ended   chan struct{} // closed when the program has drawn its last
}

// rowChanged tells the live view of one row.
type rowChanged struct {
	row int
	bar row
}

// row is one line of the live view.
type row struct {
	step  step
	text  string // of the end
	good  bool
	ended bool
}

// ticked redraws the spinner.
type ticked struct{}

// bars is what the live view draws.
type bars struct {
	rows []row
	beat int
}

func newLive(out io.Writer, rows int) *live {
	l := &live{
		program: tea.NewProgram(bars{rows: make([]row, rows)}, tea.WithOutput(out), tea.WithInput(nil), tea.WithoutSignalHandler()),
		ended:   make(chan struct{}),
	}
	go func() { // close waits for it
		defer close(l.ended)
		_, _ = l.program.Run() // a view that cannot be drawn is not worth an error
	}()
	return l
}

func (l *live) step(i int, s step) { l.program.Send(rowChanged{i, row{step: s}}) }

func (l *live) end(i int, text string, good bool) {
	l.program.Send(rowChanged{i, row{text: text, good: good, ended: true}})
}

func (l *live) close() {
	l.program.Quit()
	<-l.ended
}

func tick() tea.Cmd {
	return tea.Tick(100*time.Millisecond, func(time.Time) tea.Msg { return ticked{} })
}

// Init starts the spinner.
func (bars) Init() tea.Cmd { return tick() }

// Update takes in a change.
func (b bars) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case rowChanged:
		b.rows[m.row] = m.bar
	case ticked:
		b.beat++
		return b, tick()
	}
	return b, nil
}

// View draws every row.
func (b bars) View() tea.View {
	var text strings.Builder
	for _, r := range b.rows {
		text.WriteString(b.line(r) + "\n")
	}
	return tea.NewView(text.String())
}

func (b bars) line(r row) string {
	green, red, dim := lipgloss.NewStyle().Foreground(lipgloss.Green), lipgloss.NewStyle().Foreground(lipgloss.Red), lipgloss.NewStyle().Faint(true)
	switch {
	case r.ended && r.good:
		return green.Render("✓ ") + r.text
	case r.ended:
		return red.Render("✗ ") + r.text
	case r.step.service == "":
		return dim.Render(b.spinner() + " waiting")
	}
	filled := 0
	if r.step.wanted > 0 {
		filled = min(barWidth, r.step.settled*barWidth/r.step.wanted)
	}
	bar := green.Render(strings.Repeat("█", filled)) + dim.Render(strings.Repeat("░", barWidth-filled))
	return b.spinner() + " " + bar + " " + r.step.String()
}

func (b bars) spinner() string {
	frames := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"}
	return frames[b.beat%len(frames)]
}
