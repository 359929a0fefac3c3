package store_test

import (
	"fmt"
	"testing"

	"github.com/aloft-run/aloft/store"
)

// BenchmarkCommit commits groups of small puts, each durable before the next.
func BenchmarkCommit(b *testing.B) {
	backends := map[string]func(b *testing.B) store.Config{
		"embedded": func(b *testing.B) store.Config {
			b.Helper()
			return store.Config{DataDir: b.TempDir()}
		},
		"outside": func(b *testing.B) store.Config {
			b.Helper()
			socket := newSocket(b)
			open(b, store.Config{DataDir: b.TempDir(), ListenClient: socket})
			return store.Config{Endpoints: []string{socket}}
		},
	}
	for name, start := range backends {
		for _, size := range []int{1, 120, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				term := campaign(b, open(b, start(b)), "one")
				ops := make([]store.Op, size)
				for i := range ops {
					ops[i] = store.Op{Key: fmt.Sprintf("task/web-%06d", i), Value: make([]byte, 200)}
				}
				for b.Loop() {
					if _, err := term.Commit(b.Context(), ops); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "puts/s")
			})
		}
	}
}

// BenchmarkOpen opens a fresh data folder, and one that holds data.
func BenchmarkOpen(b *testing.B) {
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			s, err := store.Open(b.Context(), store.Config{DataDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	})
	b.Run("again", func(b *testing.B) {
		cfg := store.Config{DataDir: b.TempDir()}
		s := open(b, cfg)
		put(b, campaign(b, s, "one"), "a", "1")
		_ = s.Close()
		for b.Loop() {
			s, err := store.Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	})
}
