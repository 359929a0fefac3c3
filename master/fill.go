package master

import (
	"context"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// filledAtOnce is how many records one commit has when a store is filled.
const filledAtOnce = 5_000

// Fill writes records into an empty store, before a master leads with it.
func Fill(ctx context.Context, state Election, records []engine.Record) error {
	term, err := state.CampaignBehind(ctx, "fill", store.BehindNobody)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(records, filledAtOnce) {
		ops := make([]store.Op, 0, len(part))
		for _, record := range part {
			value, err := wire.Marshal(record)
			if err != nil {
				return fmt.Errorf("record %s: %w", wire.StoreKey(record.Key()), err)
			}
			ops = append(ops, store.Op{Key: wire.StoreKey(record.Key()), Value: value})
		}
		if _, err := term.Commit(ctx, ops); err != nil {
			return err
		}
	}
	return term.Resign(ctx)
}
