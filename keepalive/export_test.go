package keepalive

import (
	"net"
	"time"
)

// Preface is what a client says first.
const Preface = preface

// Telling returns the frame with which a side says that it is there.
func Telling() []byte { f := telling(); return f[:] }

// Asking returns the one with which it asks.
func Asking() []byte { f := asking(); return f[:] }

// Frames follow a client's part of a connection.
type Frames struct{ inner frames }

// Pass is the frames'.
func (f *Frames) Pass(p []byte) { f.inner.pass(p) }

// Between is the frames'.
func (f *Frames) Between() bool { return f.inner.between() }

// IsPing is the one of frames.
func IsPing(p []byte) bool { return isPing(p) }

// Socket is what a connection is one by.
func Socket(c *Conn) net.Conn { return c.socket.Load().Conn }

// IdleFrom is after how many reads that brought pings only a connection is a loop's.
const IdleFrom = idleFrom

// Attend does what is due on a connection, as its timer does or its Watch.
func Attend(c *Conn) (again time.Duration) { return c.attend() }
