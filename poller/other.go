//go:build !linux

package poller

import (
	"net"
	"time"
)

// Loop is not there: nothing has a socket but Go.
type Loop struct{}

// New returns a loop that takes no socket.
func New(int, bool) *Loop { return &Loop{} }

// NewResting returns the same.
func NewResting(_, _ time.Duration) *Loop { return &Loop{} }

// Start starts nothing.
func (*Loop) Start() bool { return false }

// Close ends nothing.
func (*Loop) Close() {}

// Adopt takes nothing over.
func (*Loop) Adopt(net.Conn) *Conn { return nil }

// Conn is not there.
type Conn struct{ net.TCPConn }

// Drained does nothing.
func (*Conn) Drained() {}

// Watch does nothing.
func (*Conn) Watch(Glance) {}

// Use does nothing.
func (*Conn) Use(*Strand) {}

func (*Conn) await(int, waiter) bool { return false }

type waiter struct{ strand *Strand }
