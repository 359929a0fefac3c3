package upstream

import (
	"fmt"
	"time"
)

// Reach says how far a request got before its exchange failed.
type Reach int

const (
	// Unreached means that there was no connection; the instance knows nothing.
	Unreached Reach = iota
	// Unread means that the instance closed the connection before anything of the request
	// arrived. It is safe to send any request again.
	Unread
	// Unanswered means that the instance may have read the request, and no byte of an
	// answer came, or the request was given up before one was passed on.
	Unanswered
	// Late means that no byte of an answer came within Config.AnswerTimeout.
	Late
	// Garbled means that what came is not an answer.
	Garbled
	// Abandoned means that the client is gone or did not send the body it promised.
	Abandoned
)

// String returns the word for it, in lower case.
func (r Reach) String() string {
	switch r {
	case Unreached:
		return "unreached"
	case Unread:
		return "unread"
	case Unanswered:
		return "unanswered"
	case Late:
		return "late"
	case Garbled:
		return "garbled"
	case Abandoned:
		return "abandoned"
	}
	return fmt.Sprintf("Reach(%d)", int(r))
}

// Error is why an exchange failed and how far it had got.
type Error struct {
	Reach Reach
	Err   error
	Began time.Time // of Unreached: when the connection was begun
}

// Error returns both in words.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Reach, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
