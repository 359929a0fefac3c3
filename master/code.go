package master

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
)

// BusyHeader is set in an answer which says that the leader has too much to do: after
// so long the call may be made again. Nothing of it was done.
const BusyHeader = "Aloft-Busy"

// busyFor is the least time after which a call should be made again.
const busyFor = 100 * time.Millisecond

// apiError gives an error the code that clients act on.
func apiError(err error) error {
	if _, coded := errors.AsType[*connect.Error](err); coded || err == nil {
		return err
	}
	coded := connect.NewError(codeOf(err), err)
	if isUndone(err) {
		coded.Meta().Set(StandbyHeader, "true")
	}
	if errors.Is(err, errBusy) {
		coded.Meta().Set(BusyHeader, busyFor.String())
	}
	return coded
}

func codeOf(err error) connect.Code {
	switch {
	case errors.Is(err, ErrNoLeader), errors.Is(err, errInDoubt), errors.Is(err, errUnreached):
		return connect.CodeUnavailable
	case errors.Is(err, errFull), errors.Is(err, errBusy):
		return connect.CodeResourceExhausted
	case errors.Is(err, errTrimmed):
		return connect.CodeOutOfRange
	case errors.Is(err, engine.ErrUnknown), errors.Is(err, errNobodyAsks), errors.Is(err, store.ErrUnknownMember):
		return connect.CodeNotFound
	case errors.Is(err, engine.ErrStale), errors.Is(err, errReplaced):
		return connect.CodeAborted
	case errors.Is(err, engine.ErrInvalid), errors.Is(err, store.ErrBadMember):
		return connect.CodeInvalidArgument
	case errors.Is(err, errNamesake), errors.Is(err, store.ErrMemberExists):
		return connect.CodeAlreadyExists
	case errors.Is(err, engine.ErrConflict), errors.Is(err, store.ErrQuorum), errors.Is(err, store.ErrOutside), errors.Is(err, store.ErrDeaf):
		return connect.CodeFailedPrecondition
	case errors.Is(err, errSilent), errors.Is(err, context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled
	default:
		return connect.CodeInternal
	}
}

// invalidArgument is the error for a request that can never succeed as it is.
func invalidArgument(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }
