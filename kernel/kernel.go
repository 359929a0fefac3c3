// Package kernel asks the kernel for what it can do at once.
//
// Its calls do not tell Go's scheduler of themselves, as those of package syscall do. A
// thread that is put aside inside such a call has its processor given to another thread,
// and its goroutine waits behind all others when it returns; on busy cores that happens
// again and again.
//
// The law: a file descriptor that is given must be one that never blocks, for nothing
// else runs on the processor meanwhile, and the garbage collector waits. Poll alone waits,
// briefly, where processors are to spare. Only Poll is ended by a signal: what one
// interrupts else is asked again.
package kernel

import "syscall"

// IsLater reports whether a call found nothing to be done yet: what it wants may become ready.
func IsLater(err error) bool { return err == syscall.EAGAIN } //nolint:errorlint // it is a call's own, and never wrapped
