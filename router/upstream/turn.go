package upstream

// turn is a request that is sent and the first of what comes afterwards.
type turn struct {
	text, into []byte
	stage      stage
	sent, got  int
	sendErr    error
	recvErr    error
}

// stage is how far a turn has come.
type stage int

const (
	notAsked stage = iota
	notQuiet       // nothing was sent: the other side has closed, or said something
	partSent       // the kernel did not take all of it, or refused it
	allSent        // nothing may have come yet
)
