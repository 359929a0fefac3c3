package fleet_test

import (
	"io"
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
	s.collect()
	for b.Loop() {
		s.measureReads(theList, 100_000)
		s.measureReads(theWatch, 100_000)
	}
	b.ReportMetric(0, "ns/op")
}

// collect has the only master collect the garbage of all who joined, which it would else do
// while it is read: within the first of its readers or a later one, as it happens.
func (s *scene) collect() {
	s.Helper()
	profile := s.get(s.Context(), "/debug/pprof/heap?gc=1")
	defer func() { _ = profile.Close() }()
	if _, err := io.Copy(io.Discard, profile); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) measureReads(what string, tasks int) {
	s.Helper()
	const times = 11
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
