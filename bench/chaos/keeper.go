package main

import (
	"context"
	"time"
)

// empty drains an agent and lets it take tasks again, one after the other, and now and
// then has another master lead, until ctx is done. The last agent is always let go.
func (o *operator) empty(ctx context.Context, agents []*part) {
	const transfers = 3 // one of so many changes
	for pause(ctx, o.between(5*time.Second, 20*time.Second)) {
		if o.random.IntN(transfers) == 0 {
			o.do(ctx, "masters transfer", []int{codeDone, codeFailed, codeRefused}, "masters", "transfer")
			continue
		}
		agent := agents[o.random.IntN(len(agents))].Name()
		o.do(ctx, "drain", []int{codeDone, codeRefused}, "drain", agent)
		pause(ctx, o.between(time.Second, 8*time.Second))
		o.do(context.WithoutCancel(ctx), "undrain", []int{codeDone}, "undrain", agent)
	}
}
