package rollout_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

// BenchmarkNext plans for 1,000 instances: in the middle of a deployment, where
// old ones are compared, and in rest.
func BenchmarkNext(b *testing.B) {
	seen := running(1000)
	goal := rollout.Goal{Revision: 1, Base: 1, Instances: 1000, Surge: 10, Unavailable: 10, Settle: time.Second}
	b.Run("rest", func(b *testing.B) {
		for b.Loop() {
			_ = rollout.Next(goal, seen, noon)
		}
	})
	goal.Revision = 2
	for i := range seen[:500] {
		seen[i].Revision = 2
	}
	b.Run("roll", func(b *testing.B) {
		for b.Loop() {
			_ = rollout.Next(goal, seen, noon)
		}
	})
	goal.Instances = 1
	for i := range seen {
		seen[i].State = task.State(i%6) + task.Pending
	}
	b.Run("scale down", func(b *testing.B) {
		for b.Loop() {
			_ = rollout.Next(goal, seen, noon)
		}
	})
}

// BenchmarkForecast foresees a whole roll of 1,000 instances, one at a time.
func BenchmarkForecast(b *testing.B) {
	seen := running(1000)
	goal := rollout.Goal{Revision: 2, Base: 1, Instances: 1000, Surge: 1}
	for b.Loop() {
		_ = rollout.Forecast(goal, seen, noon)
	}
}
