package master

import (
	"context"
	"time"
)

// outlast returns a context that is done so long after ctx is: for what is under
// way when a master is told to end, and should end in order. The caller must call
// stop.
func outlast(ctx context.Context, d time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	leave := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		leave()
		cancel(nil)
	}
}
