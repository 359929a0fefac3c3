package master

// messageDepth is about what reading or writing a message takes of a stack, in bytes.
const messageDepth = 10 << 10

// makeRoom makes the stack of a call's goroutine as large as it will have to be to read
// and write messages, while there is little on it yet. By itself it would be copied each
// time it doubles, deep within the first message: that was a twelfth of what it costs a
// master that an agent joins.
func makeRoom() { room(false) }

// room has a frame of messageDepth, which it leaves as it is.
//
//go:noinline
func room(touch bool) byte {
	if !touch {
		return 0
	}
	var frame [messageDepth]byte
	return last(&frame)
}

//go:noinline
func last(frame *[messageDepth]byte) byte { return frame[len(frame)-1] }
