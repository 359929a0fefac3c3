package agent_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func TestManyShortTasks(t *testing.T) {
	t.Parallel()
	m := newMachine(t, t.TempDir())
	began := time.Now()

	runMany(m, "job", 200)

	t.Logf("200 tasks in %v", time.Since(began).Round(time.Millisecond))
	_, reports, told := m.counts()
	t.Logf("%d reports of %d states", reports, told)
}

// runMany runs so many tasks of /bin/true to their end.
func runMany(m *machine, prefix string, n int) {
	m.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", prefix, i))
	}
	before := m.ended()
	m.order(runOrders(specOf(spec.Job, command("/bin/true")), names...))
	m.until("all tasks have ended", func() bool { return m.ended() == before+n })
	for _, name := range names {
		if m.known(name) != "finished 1" {
			m.Errorf("task %s: %v", name, m.status(name))
		}
	}
	m.order(&pb.Orders{Forget: names})
}

// BenchmarkShortTasks measures 200 tasks of /bin/true from the order to the last
// report.
func BenchmarkShortTasks(b *testing.B) {
	m := newMachine(b, b.TempDir())
	for n := 0; b.Loop(); n++ {
		runMany(m, fmt.Sprintf("job-%d", n), 200)
	}
	b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
