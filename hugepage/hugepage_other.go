//go:build !linux

package hugepage

func affordable() int64 { return 0 }

func wantHuge([]byte) bool { return false }
