package enginetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var faultCases = []testCase{
	{"broken and healed", brokenAndHealed},
	{"opened while broken", openedWhileBroken},
	{"broken while storing", brokenWhileStoring},
	{"context ends while the store hangs", hungStore},
	{"probe while the store hangs", hungProbe},
}

// brokenAndHealed looks at both sides of a fault with one engine value that is never reopened.
func brokenAndHealed(t *testing.T, h Harness) {
	e := open(t, h)
	before := NewBatch(deviceA, 0, 10)
	storeNew(t, e, before)
	if _, err := probe(t, e); err != nil {
		t.Fatalf("probe of a working store: %v", err)
	}

	h.Break(t)
	b := NewBatch(deviceA, 10, 10)
	wantTransient(t, tryStore(t, e, b))
	if _, err := probe(t, e); err == nil {
		t.Error("probe finds nothing wrong with a broken store")
	}

	h.Heal(t)
	storeUntilStored(t, e, b, true)
	testkit.Succeeds(t, "probe after the cure", recoverLimit, func() error { _, err := probe(t, e); return err })
	wantRecords(t, h, append(before.Records, b.Records...)...)
}

// openedWhileBroken starts the process before its store.
func openedWhileBroken(t *testing.T, h Harness) {
	h.Break(t)
	e := open(t, h)
	b := NewBatch(deviceA, 0, 10)
	wantTransient(t, tryStore(t, e, b))
	if _, err := probe(t, e); err == nil {
		t.Error("probe finds nothing wrong with a broken store")
	}
	h.Heal(t)
	storeUntilStored(t, e, b, true)
	wantRecords(t, h, b.Records...)
}

// brokenWhileStoring breaks the store between and within writes, again and again, and retries
// each batch as the publisher does. In the end every record is there once and in order.
func brokenWhileStoring(t *testing.T, h Harness) {
	e := open(t, h)
	const rounds, size = 3, 20
	var confirmed atomic.Int64 // batches
	stop := make(chan struct{})
	var storing sync.WaitGroup
	storing.Go(func() {
		for !closed(stop) && !t.Failed() {
			storeUntilStored(t, e, NewBatch(deviceA, int(confirmed.Load())*size, size), false)
			confirmed.Add(1)
		}
	})
	finish := sync.OnceFunc(func() { close(stop); storing.Wait() })
	defer finish()

	for range rounds {
		seen := confirmed.Load()
		testkit.Succeeds(t, "the next batches", storeLimit, func() error {
			if confirmed.Load() < seen+5 {
				return errors.New("too few are confirmed")
			}
			return nil
		})
		h.Break(t)
		promised := int(confirmed.Load()) * size
		h.Heal(t)
		if stored := len(h.Records(t)); stored < promised {
			t.Errorf("%d records are stored after the fault, %d were confirmed before it", stored, promised)
		}
	}
	finish()
	wantRecords(t, h, NewBatch(deviceA, 0, int(confirmed.Load())*size).Records...)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hungStore ends the context of a Store that nobody answers. What the error says about the
// batch's fate must be true, and the retry must leave one copy of each record.
func hungStore(t *testing.T, h Harness) {
	e := open(t, h)
	before := NewBatch(deviceA, 0, 1)
	storeNew(t, e, before)

	h.Hang(t)
	const patience = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := NewBatch(deviceA, 1, 20)
	start := time.Now()
	err := e.Store(ctx, e.Lane(deviceA), b)
	if took := time.Since(start); took > patience+prompt {
		t.Errorf("store returned %v after its context ended", took-patience)
	}
	if err == nil {
		t.Fatal("store confirmed what the store has not answered")
	}
	wantTransient(t, err)

	h.Resume(t)
	storeUntilStored(t, e, b, engine.IsAmbiguous(err))
	wantRecords(t, h, append(slices.Clone(before.Records), b.Records...)...)
}

func hungProbe(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, NewBatch(deviceA, 0, 1))
	h.Hang(t)
	if _, err := probe(t, e); err == nil {
		t.Error("probe finds nothing wrong with a store that hangs")
	}
	h.Resume(t)
	testkit.Succeeds(t, "probe after the store went on", recoverLimit, func() error { _, err := probe(t, e); return err })
}

// wantTransient makes sure that a failure invites the publisher to try again.
func wantTransient(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("a broken store confirmed a batch")
	}
	checkTyped(t, err)
	if !engine.IsTransient(err) {
		t.Errorf("the failure of a broken store is not transient: %v", err)
	}
}

// storeUntilStored retries a batch as the publisher does: once an attempt has failed
// ambiguously, the batch keeps its ID. It may run on a goroutine of the case.
func storeUntilStored(t *testing.T, e engine.Engine, b *engine.Batch, doubtful bool) {
	t.Helper()
	deadline := time.Now().Add(3 * recoverLimit)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		if !doubtful {
			renew(b)
		}
		err := attempt(t.Context(), e, b)
		if err == nil {
			return
		}
		if !engine.IsTransient(err) {
			t.Errorf("store failed for good: %v", err)
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("store has not recovered: %v", err)
			return
		}
		doubtful = doubtful || engine.IsAmbiguous(err)
		<-retry.C
	}
}

// attempt stores the batch once and returns all that failed of it.
func attempt(ctx context.Context, e engine.Engine, b *engine.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	clear(b.Results)
	if err := storeInLanes(ctx, e, b); err != nil {
		return err
	}
	var failed []error
	for _, result := range b.Results {
		failed = append(failed, result.Err)
	}
	return errors.Join(failed...)
}
