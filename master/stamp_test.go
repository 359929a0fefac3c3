package master_test

import (
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// stamped returns an agent's heartbeat.
func stamped(stamp int64) *pb.SessionRequest {
	return &pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{Stamp: stamp}}}
}

// TestStampsComeBack once it is known that this master leads, and after the orders.
func TestStampsComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		const twoBeats = 2100 * time.Millisecond // one may come at the moment of the proof
		s.send(stamped(7))
		time.Sleep(twoBeats)
		s.send(stamped(8))
		time.Sleep(twoBeats)

		if told := s.told(); len(told) != 1 || !told[0].GetComplete() {
			t.Errorf("it was told %v", told)
		}
		if stamps := s.stamped(); len(stamps) < 2 || stamps[0] != 7 || stamps[len(stamps)-1] != 8 {
			t.Errorf("stamps that came back: %v", stamps)
		}
		s.cancel()
		again := n.open(n.client())
		again.send(joinOf(small("a1")))
		again.beat()
		time.Sleep(1100 * time.Millisecond)
		if stamps := again.stamped(); len(stamps) != 0 {
			t.Errorf("stamps of the session before came back: %v", stamps)
		}
	})
}

// TestDeposedLeaderProvesNothing has a leader lose its term without knowing: what
// agents say to it since does not come back, for the next one has not heard it.
func TestDeposedLeaderProvesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, memory.New(memory.Config{}), master.Config{})
		n.leads()
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.send(stamped(7))
		time.Sleep(1100 * time.Millisecond)
		n.member.Cut()

		s.send(stamped(8))
		for range 10 {
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
		}

		for _, stamp := range s.stamped() {
			if stamp != 7 {
				t.Errorf("stamp %d came back from a leader that may be deposed", stamp)
			}
		}
		if len(s.stamped()) == 0 {
			t.Error("no stamp came back while it led")
		}
	})
}
