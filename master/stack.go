package master

// roomBytes is about what a call takes of a stack, and what reading a message does.
const roomBytes = 5 << 10

// makeRoom makes the stack of a goroutine as large as it will have to be, while there is
// little on it yet. By itself it would be copied each time it doubles, deep within the first
// message: that was a twelfth of what it costs a master that an agent joins.
func makeRoom() { room(false) }

// room has a frame of roomBytes, which it leaves as it is.
//
//go:noinline
func room(touch bool) byte {
	if !touch {
		return 0
	}
	var frame [roomBytes]byte
	return last(&frame)
}

//go:noinline
func last(frame *[roomBytes]byte) byte { return frame[len(frame)-1] }

// apart does work that goes deep on a stack that is there for that only. The stack of a
// session lasts as long as the session, and would stay twice as large for the first message.
func apart(work func() error) error {
	var err error
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		makeRoom()
		err = work()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}
