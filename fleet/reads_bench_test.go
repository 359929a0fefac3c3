package fleet_test

import (
	"testing"
	"time"
)

// BenchmarkReads reads all tasks of a cluster by pages of a list, and everything by
// the first answer of a watch. It reports
//
//	list-ms, watch-ms  the time of one, the middle of several
//	list-MB, watch-MB  of messages
//	list-cpu-s, watch-cpu-s  CPU time of the master, for each
//	list-read-p50-ms, watch-read-p50-ms and so on  of the API while one follows the other
func BenchmarkReads(b *testing.B) {
	s := newScene(b, 1, sessionsSize(100_000))
	s.join()
	time.Sleep(*settleFlag)
	for b.Loop() {
		s.measureReads(theList, 100_000)
		s.measureReads(theWatch, 100_000)
	}
	b.ReportMetric(0, "ns/op")
}

func (s *scene) measureReads(what string, tasks int) {
	s.Helper()
	const times = 11 // within which the master's collector may run, and not only in one of them
	r := s.reader(what)
	p, used := s.probe(), s.cpu(0)
	took := r.several(s.B, times, tasks)
	used = s.cpu(0) - used
	p.report(s.B, what+"-")
	r.stop(s.B)
	s.ReportMetric(millis(took), what+"-ms")
	s.ReportMetric(float64(r.size)/1e6, what+"-MB")
	s.ReportMetric(used.Seconds()/times, what+"-cpu-s")
}
