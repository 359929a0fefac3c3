//go:build !linux

package poller

import (
	"errors"
	"net"
)

// Loop is not there: nothing has a socket but Go.
type Loop struct{}

// New starts no loop.
func New(bool) (*Loop, error) { return nil, errors.ErrUnsupported }

// Close ends nothing.
func (*Loop) Close() {}

// Conn is not there.
type Conn struct {
	net.TCPConn

	loop *Loop
}

func adopt(*Loop, *net.TCPConn) (*Conn, error) { return nil, errors.ErrUnsupported }

// Use does nothing.
func (*Conn) Use(*Strand) {}

// Beside reports whether the same loop has both connections.
func (c *Conn) Beside(other *Conn) bool { return c.loop == other.loop }

func (*Conn) await(int, waiter) bool { return false }

type waiter struct{ strand *Strand }
