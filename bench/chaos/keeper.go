package main

import (
	"context"
	"time"
)

// empty drains an agent and lets it take tasks again, one after the other, until ctx
// is done. The last one is always let go.
func (o *operator) empty(ctx context.Context, agents []*part) {
	for pause(ctx, o.between(5*time.Second, 20*time.Second)) {
		agent := agents[o.random.IntN(len(agents))].Name()
		o.do(ctx, "drain", []int{codeDone, codeRefused}, "drain", agent)
		pause(ctx, o.between(time.Second, 8*time.Second))
		o.do(context.WithoutCancel(ctx), "undrain", []int{codeDone}, "undrain", agent)
	}
}
