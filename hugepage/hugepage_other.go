//go:build !linux

package hugepage

func affordable() int { return 0 }

func wantHuge([]byte) bool { return false }
