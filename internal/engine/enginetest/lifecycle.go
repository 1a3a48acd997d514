package enginetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var lifecycleCases = []testCase{
	{"reopened", reopened},
	{"close leaves nothing running", closeLeavesNothing},
	{"close of an engine that was never used", closeUnused},
	{"close while the store is broken", closeBroken},
	{"probe counts the records", probeLength},
	{"can what it is said to", canWhatItIsSaidTo},
}

var inspectCases = []testCase{{"name and class", inspect}}

// canWhatItIsSaidTo keeps the harness from leaving cases out.
func canWhatItIsSaidTo(t *testing.T, h Harness) {
	e := open(t, h)
	r, recogniser := e.(engine.Recogniser)
	_, inspector := e.(engine.Inspector)
	_, tailer := e.(engine.Tailer)
	_, deadLetterStore := e.(engine.DeadLetterStore)
	_, recordReader := e.(engine.RecordReader)
	can := [...]bool{recogniser && r.RecognisesRecords(), inspector, tailer, deadLetterStore, recordReader}
	if said := [...]bool{h.Recogniser, h.Inspector, h.Tailer, h.DeadLetterStore, h.RecordReader}; can != said {
		t.Errorf("recognises records, inspects, tails, has dead letters, shows records: %v, the harness says %v", can, said)
	}
}

func reopened(t *testing.T, h Harness) {
	var all []engine.Record
	for life := range 3 {
		e := h.Open(t)
		b := NewBatch(deviceA, life*50, 50)
		storeNew(t, e, b)
		all = append(all, b.Records...)
		closeEngine(t, e)
		wantRecords(t, h, all...)
	}
}

// closeLeavesNothing uses every method once before it counts goroutines.
func closeLeavesNothing(t *testing.T, h Harness) {
	before := goleak.IgnoreCurrent()
	e := h.Open(t)
	storeNew(t, e, NewBatch(deviceA, 0, 100))
	if _, err := probe(t, e); err != nil {
		t.Errorf("probe: %v", err)
	}
	if i, ok := e.(engine.Inspector); ok {
		if _, err := i.Inspect(t.Context()); err != nil {
			t.Errorf("inspect: %v", err)
		}
	}
	if h.Tailer {
		tail := startTail(t, e, true)
		wantTail(t, h, tail, NewBatch(deviceA, 0, 100).Records)
		tail.stop(t)
	}
	closeEngine(t, e)
	goleak.VerifyNone(t, before)
}

func closeUnused(t *testing.T, h Harness) {
	before := goleak.IgnoreCurrent()
	closeEngine(t, h.Open(t))
	goleak.VerifyNone(t, before)
}

// closeBroken closes in time whatever the store does: the process must be able to end.
func closeBroken(t *testing.T, h Harness) {
	e := h.Open(t)
	storeNew(t, e, NewBatch(deviceA, 0, 1))
	h.Break(t)
	wantTransient(t, tryStore(t, e, NewBatch(deviceA, 1, 1)))
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = e.Close() // that the store is broken is no news
	}()
	select {
	case <-closed:
	case <-time.After(recoverLimit):
		t.Error("close waits for a broken store")
	}
	h.Heal(t)
}

func probeLength(t *testing.T, h Harness) {
	e := open(t, h)
	for _, want := range []int64{0, 1, 70} {
		if want > 0 {
			storeNew(t, e, NewBatch(deviceA, int(want), int(want)-len(h.Records(t))))
		}
		status, err := probe(t, e)
		if err != nil {
			t.Fatalf("probe: %v", err)
		}
		if status.Length != want {
			t.Errorf("probe counts %d records, want %d", status.Length, want)
		}
	}
}

func inspect(t *testing.T, h Harness) {
	e := open(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), storeLimit)
	defer cancel()
	d, err := e.(engine.Inspector).Inspect(ctx)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	if d.Engine == "" {
		t.Error("the engine does not say its name")
	}
	classes := []engine.Class{engine.MemoryOnly, engine.OneSecond, engine.Fsynced, engine.Replicated}
	if !slices.Contains(classes, d.Class) {
		t.Errorf("%q is no durability class", d.Class)
	}
}
