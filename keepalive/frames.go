package keepalive

import "encoding/binary"

// HTTP/2's frames: RFC 9113, sections 3.4, 4.1 and 6.
const (
	preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headBytes = 9
	typeAt    = 3
	flagsAt   = 4
	streamAt  = 5
	pingBytes = headBytes + 8

	headersType, pushType, pingType, continuationType = 0x1, 0x5, 0x6, 0x9

	pingHead = (pingBytes-headBytes)<<8 | pingType // its length and type

	ackFlag        = 0x1
	endHeadersFlag = 0x4
)

// ours is in the pings of this package, and in answers to none, which tell only that
// this side is there: who gets one ignores it, but for that it came.
const ours = 0x616c6f6674 << 24 // "aloft"

// pingFrame is a whole ping.
type pingFrame [pingBytes]byte

// asking returns the ping of ours that asks.
func asking() pingFrame { return ping(0) }

// telling returns the one that answers none.
func telling() pingFrame { return ping(ackFlag) }

func ping(flags byte) (frame pingFrame) {
	binary.BigEndian.PutUint32(frame[:], pingHead)
	frame[flagsAt] = flags
	binary.BigEndian.PutUint64(frame[headBytes:], ours)
	return frame
}

// isPing reports whether p, which begins with the whole head of a frame, begins with a
// ping, or an answer to one, that is as it must be.
func isPing(p []byte) bool {
	return binary.BigEndian.Uint32(p) == pingHead && p[flagsAt]&^ackFlag == 0 && binary.BigEndian.Uint32(p[streamAt:]) == 0
}

// frames follow one side's part of a connection from frame to frame.
type frames struct {
	preface int  // bytes of it that have passed; a server's part has none, and begins behind it
	alien   bool // these are no frames
	head    [headBytes]byte
	got     int  // bytes of a head that have passed
	left    int  // bytes of a frame that have not
	headers bool // a block of headers goes on with the next frame
	begun   bool // a frame has passed, or its head
}

// greeted reports whether the preface has passed.
func (f *frames) greeted() bool { return f.preface == len(preface) && !f.alien }

// between reports whether another frame may stand here.
func (f *frames) between() bool { return f.greeted() && f.got == 0 && f.left == 0 && !f.headers }

// mayFollow reports whether a ping may: the first frame of each side must be its settings.
func (f *frames) mayFollow() bool { return f.begun && f.between() }

// pass takes note of what passes.
func (f *frames) pass(p []byte) {
	for len(p) > 0 && !f.alien {
		var n int
		switch {
		case !f.greeted():
			n = min(len(p), len(preface)-f.preface)
			f.alien = string(p[:n]) != preface[f.preface:f.preface+n]
			f.preface += n
		case f.left > 0:
			n = min(len(p), f.left)
			f.left -= n
		default:
			n = copy(f.head[f.got:], p)
			if f.got += n; f.got == headBytes {
				f.begin()
			}
		}
		p = p[n:]
	}
}

// begin takes note of the frame whose head has passed.
func (f *frames) begin() {
	f.begun, f.got, f.left = true, 0, int(binary.BigEndian.Uint32(f.head[:])>>8)
	switch f.head[typeAt] {
	case headersType, pushType, continuationType:
		f.headers = f.head[flagsAt]&endHeadersFlag == 0
	}
}
