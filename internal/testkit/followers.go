package testkit

import (
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// failFollowers makes the items fail that stand behind a failed one of the same device and kind.
func failFollowers(b *engine.Batch) {
	records, deadLetters, messages := b.ByKind()
	failBehind(b.Records, records, func(r *engine.Record) string { return r.DeviceID })
	failBehind(b.DeadLetters, deadLetters, func(d *engine.DeadLetter) string { return d.DeviceID })
	failBehind(b.Messages, messages, func(m *engine.Message) string { return m.DeviceID })
}

func failBehind[T any](items []T, results []engine.Result, device func(*T) string) {
	failed := map[string]error{}
	for i := range items {
		d, r := device(&items[i]), &results[i]
		if errors.Is(r.Err, engine.ErrTooLarge) || errors.Is(r.Err, engine.ErrMovedOn) {
			continue
		}
		if r.Err != nil {
			failed[d] = r.Err
		} else if err := failed[d]; err != nil {
			err = fmt.Errorf("behind an item that failed: %w", err)
			*r = engine.Result{Err: &engine.Error{Transient: engine.IsTransient(err), Ambiguous: true, Err: err}}
		}
	}
}
