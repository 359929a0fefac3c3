package cli

import (
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// barWidthMax is the length of a progress bar, in characters, where there is
// room, and beatEvery how often the spinner moves.
const (
	barWidthMax = 24
	beatEvery   = 100 * time.Millisecond
)

// live draws the rows on a terminal, again and again in the same place.
type live struct {
	program *tea.Program
	ended   chan struct{} // closed when the program has drawn its last
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

// rowChanged tells the live view of one row.
type rowChanged struct {
	index int
	row   row
}

// ticked moves the spinner.
type ticked struct{}

// row is one line of the live view.
type row struct {
	step  step
	text  string // of the end
	good  bool
	ended bool
}

// bars is what the live view draws.
type bars struct {
	rows  []row
	beat  int
	width int // of the terminal; 0 until that is known
}

func tick() tea.Cmd {
	return tea.Tick(beatEvery, func(time.Time) tea.Msg { return ticked{} })
}

// Init starts the spinner.
func (bars) Init() tea.Cmd { return tick() }

// Update takes in a change.
func (b bars) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case rowChanged:
		b.rows[m.index] = m.row
	case tea.WindowSizeMsg:
		b.width = m.Width
	case ticked:
		b.beat++
		return b, tick()
	}
	return b, nil
}

// View draws every row on one line, however narrow the terminal is.
func (b bars) View() tea.View {
	var text strings.Builder
	fitting := lipgloss.NewStyle()
	if b.width > 0 {
		fitting = fitting.MaxWidth(b.width)
	}
	for _, r := range b.rows {
		text.WriteString(fitting.Render(b.line(r)) + "\n")
	}
	view := tea.NewView(text.String())
	view.DisableBracketedPasteMode = true // nothing is typed here
	return view
}

func (b bars) line(r row) string {
	green, red, dim := lipgloss.NewStyle().Foreground(lipgloss.Green), lipgloss.NewStyle().Foreground(lipgloss.Red), lipgloss.NewStyle().Faint(true)
	switch {
	case r.ended && r.good:
		return green.Render("✓") + " " + r.text
	case r.ended:
		return red.Render("✗") + " " + r.text
	case r.step.service == "":
		return dim.Render(b.spinner() + " waiting for the masters")
	}
	length, filled := barWidthMax, 0
	if b.width > 0 {
		length = min(barWidthMax, b.width/4) // the words need the rest
	}
	if r.step.wanted > 0 {
		filled = min(length, r.step.settled*length/r.step.wanted)
	}
	bar := green.Render(strings.Repeat("█", filled)) + dim.Render(strings.Repeat("░", length-filled))
	return b.spinner() + " " + bar + " " + r.step.String()
}

func (b bars) spinner() string {
	frames := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"}
	return frames[b.beat%len(frames)]
}
