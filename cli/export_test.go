package cli

import (
	tea "charm.land/bubbletea/v2"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Situation is a job as a watch shows it.
type Situation struct{ s *situation }

// NewSituation returns one of which nothing is known yet.
func NewSituation(job string) Situation { return Situation{newSituation(job)} }

// Apply folds in one message of a watch.
func (s Situation) Apply(m *pb.WatchResponse) { s.s.apply(m) }

// Progress returns how many copies of the newest run are done and have failed, why the first one
// waits, and how many tasks are in service.
func (s Situation) Progress() (finished, failed int, waiting string, ready int) {
	at := stepOfRun(s.s)
	return at.settled, at.failed, at.waiting, s.s.ready()
}

// Live is the live view of a deployment's progress, drawn step by step.
type Live struct{ model tea.Model }

// NewLive returns a view with so many rows on a terminal of that width.
func NewLive(rows, width int) *Live {
	l := &Live{model: bars{rows: make([]row, rows)}}
	l.update(tea.WindowSizeMsg{Width: width, Height: 24})
	return l
}

// Step shows where a deployment is.
func (l *Live) Step(index int, service string, from, to int64, settled, wanted, ready int, waiting string) {
	l.update(rowChanged{index, row{step: step{
		service: service, from: from, to: to, settled: settled, wanted: wanted, ready: ready, waiting: waiting,
	}}})
}

// End shows the end of a deployment.
func (l *Live) End(index int, text string, good bool) {
	l.update(rowChanged{index, row{text: text, good: good, ended: true}})
}

// Beat moves the spinner.
func (l *Live) Beat() { l.update(ticked{}) }

// View returns what stands on the terminal.
func (l *Live) View() string { return l.model.(bars).View().Content }

func (l *Live) update(message tea.Msg) { l.model, _ = l.model.Update(message) }

// PutOffCollection has the garbage collected later, the first time.
func PutOffCollection() { putOffCollection() }
