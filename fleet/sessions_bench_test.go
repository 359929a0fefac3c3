package fleet_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/aloft-run/aloft/fleet"
)

// Sizes of the benchmarks of sessions and reads.
var (
	agentsFlag    = flag.Int("agents", 10_000, "`number` of agents")
	tasksFlag     = flag.Int("tasks", 200_000, "`number` of tasks, whole thousands")
	perClientFlag = flag.Int("per-client", 0, "`agents` that share a connection; 0: as a fleet does")
	settleFlag    = flag.Duration("settle", 5*time.Second, "how long a cluster rests before it is measured")
	steadyFlag    = flag.Duration("steady", 20*time.Second, "how long a steady cluster is measured")
)

// sessionsSize is the size of a cluster with so many tasks.
func sessionsSize(tasks int) fleet.Size {
	const each = 1_000
	return fleet.Size{Agents: *agentsFlag, Services: tasks / each, Instances: each}
}

// BenchmarkSteady measures a cluster in which nothing changes. It reports
//
//	master-cpu-%  of one core, of the master
//	fleet-cpu-%   the same of all agents
//	rss-MB        of the master in the end
//	session-KB    what the sessions added to it, for each
//	broken        sessions that broke meanwhile
func BenchmarkSteady(b *testing.B) {
	s := newScene(b, 1, sessionsSize(*tasksFlag))
	before := s.rss(0)
	s.join()
	time.Sleep(*settleFlag)
	b.Logf("measuring the master at %s", s.apis[0])
	master, own, broken := s.cpu(0), cpuOf(b, os.Getpid()), s.agents.Broken()
	began := time.Now()

	for b.Loop() {
		time.Sleep(*steadyFlag)
	}

	took := time.Since(began)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*(s.cpu(0)-master).Seconds()/took.Seconds(), "master-cpu-%")
	b.ReportMetric(100*(cpuOf(b, os.Getpid())-own).Seconds()/took.Seconds(), "fleet-cpu-%")
	b.ReportMetric(float64(s.rss(0))/1e6, "rss-MB")
	b.ReportMetric(float64(s.rss(0)-before)/1e3/float64(*agentsFlag), "session-KB")
	b.ReportMetric(float64(s.agents.Broken()-broken), "broken")
}

// BenchmarkReconnect has all agents lose their sessions at once. It reports
//
//	joined-ms   until the last agent is back, which is durable
//	read-p50-ms, read-p99-ms, write-p50-ms, write-p99-ms  of the API until then
//	reads, writes  how many calls that were
//	master-cpu-s, fleet-cpu-s  CPU time of the master, and of all agents, until then
//	first-ms    how long all took to join at the beginning
func BenchmarkReconnect(b *testing.B) {
	s := newScene(b, 1, sessionsSize(*tasksFlag))
	b.ReportMetric(millis(s.join()), "first-ms")
	time.Sleep(*settleFlag)
	for b.Loop() {
		p, began := s.probe(), time.Now()
		before := s.agents.Broken()
		s.agents.Break()
		until(s.B, "all sessions have broken", func() bool { return s.agents.Broken() >= before+int64(*agentsFlag) })
		s.measureReturn(p, began, 1)
	}
	b.ReportMetric(0, "ns/op")
	s.checkNothingLost(s.rest.Records)
}

// BenchmarkRestart kills the master of all agents and starts it again. It reports the
// same, from when the new master answers a write: what it takes to load the state is
// measured elsewhere.
func BenchmarkRestart(b *testing.B) {
	s := newScene(b, 1, sessionsSize(*tasksFlag))
	b.ReportMetric(millis(s.join()), "first-ms")
	time.Sleep(*settleFlag)
	for b.Loop() {
		epoch := s.epoch()
		s.kill(0)
		s.start(0)
		s.awaitWrite()
		s.measureReturn(s.probe(), time.Now(), epoch+1)
	}
	b.ReportMetric(0, "ns/op")
	s.checkNothingLost(s.rest.Records)
}

func (s *scene) measureReturn(p *probe, began time.Time, epoch uint64) {
	s.Helper()
	used, own := s.cpu(0), cpuOf(s.B, os.Getpid())
	s.joined(epoch)
	s.ReportMetric(millis(time.Since(began)), "joined-ms")
	s.ReportMetric((s.cpu(0) - used).Seconds(), "master-cpu-s")
	s.ReportMetric((cpuOf(s.B, os.Getpid()) - own).Seconds(), "fleet-cpu-s")
	p.report(s.B, "")
}

// BenchmarkJoin adds agents to an empty cluster. It reports
//
//	joined-ms     until the partitions of the last are durable
//	master-cpu-s, fleet-cpu-s  CPU time of the master, and of all agents, until then
func BenchmarkJoin(b *testing.B) {
	s := newScene(b, 1, sessionsSize(0))
	used, own := s.cpu(0), cpuOf(b, os.Getpid())
	for b.Loop() {
		b.ReportMetric(float64(s.join().Milliseconds()), "joined-ms")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric((s.cpu(0) - used).Seconds(), "master-cpu-s")
	b.ReportMetric((cpuOf(b, os.Getpid()) - own).Seconds(), "fleet-cpu-s")
}
