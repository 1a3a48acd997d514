package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var tailCases = []testCase{
	{"from the start", tailFromStart},
	{"from the start after reopening", tailReopened},
	{"from now on", tailFromNow},
	{"of nothing yet", tailOfNothing},
	{"ended by its function", tailEndedByFunction},
}

// tailing is one running Tail or TailMessages.
type tailing[T any] struct {
	seen   chan T // in order
	cancel context.CancelFunc
	result chan error
}

// startTail follows the records' payloads.
func startTail(t *testing.T, e engine.Engine, fromStart bool) *tailing[string] {
	return follow(t, func(ctx context.Context, show func(string) error) error {
		return e.(engine.Tailer).Tail(ctx, fromStart, func(payload []byte) error { return show(string(payload)) })
	})
}

func follow[T any](t *testing.T, run func(ctx context.Context, show func(T) error) error) *tailing[T] {
	ctx, cancel := context.WithCancel(t.Context())
	tail := &tailing[T]{seen: make(chan T, 10000), cancel: cancel, result: make(chan error, 1)}
	go func() {
		tail.result <- run(ctx, func(item T) error {
			tail.seen <- item
			return nil
		})
	}()
	return tail
}

// next returns the next item.
func (tail *tailing[T]) next(t *testing.T) (item T) {
	t.Helper()
	select {
	case item = <-tail.seen:
	case err := <-tail.result:
		t.Fatalf("tail ended: %v", err)
	case <-time.After(recoverLimit):
		t.Fatal("tail shows nothing further")
	}
	return item
}

func wantTail(t *testing.T, h Harness, tail *tailing[string], records []engine.Record) {
	t.Helper()
	var got []string
	for range records {
		got = append(got, tail.next(t))
	}
	got = inOrder(got, payloadDevice[string])
	for i, r := range inOrder(records, recordDevice) {
		if h.normal(got[i]) != h.normal(string(r.Payload)) {
			t.Fatalf("record %d of the tail is\n%s, want\n%s", i, got[i], r.Payload)
		}
	}
}

// stop ends the context; Tail returns promptly, with nothing but the context's own error.
func (tail *tailing[T]) stop(t *testing.T) {
	t.Helper()
	tail.cancel()
	select {
	case err := <-tail.result:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("tail ended with %v", err)
		}
	case <-time.After(prompt):
		t.Fatal("tail goes on after its context ended")
	}
	select {
	case extra := <-tail.seen:
		t.Errorf("tail showed more than was stored: %v", extra)
	default:
	}
}

func tailFromStart(t *testing.T, h Harness) {
	e := open(t, h)
	old := NewBatch(deviceA, 0, 1500)
	storeNew(t, e, old)
	tail := startTail(t, e, true)
	defer tail.cancel()
	wantTail(t, h, tail, old.Records)
	for i := range 5 {
		b := NewBatch(deviceB, i*10, 10)
		storeNew(t, e, b)
		wantTail(t, h, tail, b.Records)
	}
	tail.stop(t)
}

func tailReopened(t *testing.T, h Harness) {
	e := h.Open(t)
	old := NewBatch(deviceA, 0, 50)
	storeNew(t, e, old)
	closeEngine(t, e)
	tail := startTail(t, open(t, h), true)
	defer tail.cancel()
	wantTail(t, h, tail, old.Records)
	tail.stop(t)
}

// tailFromNow cannot know when "now" was, so it stores until the tail shows the first record.
func tailFromNow(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, NewBatch(deviceA, 0, 10))
	tail := startTail(t, e, false)
	defer tail.cancel()

	stored := 0
	position := map[string]int{}
	testkit.Succeeds(t, "the first record of the tail", recoverLimit, func() error {
		b := NewBatch(deviceB, stored, 1)
		storeNew(t, e, b)
		position[h.normal(string(b.Records[0].Payload))] = stored
		stored++
		if len(tail.seen) == 0 {
			return errors.New("nothing shown yet")
		}
		return nil
	})
	first, known := position[h.normal(tail.next(t))]
	if !known {
		t.Fatal("the tail shows a record stored before it started")
	}
	wantTail(t, h, tail, NewBatch(deviceB, first+1, stored-first-1).Records)

	more := NewBatch(deviceA, 10, 300)
	storeNew(t, e, more)
	wantTail(t, h, tail, more.Records)
	tail.stop(t)
}

func tailOfNothing(t *testing.T, h Harness) {
	e := open(t, h)
	tail := startTail(t, e, true)
	defer tail.cancel()
	b := NewBatch(deviceA, 0, 3)
	storeNew(t, e, b)
	wantTail(t, h, tail, b.Records)
	tail.stop(t)
}

func tailEndedByFunction(t *testing.T, h Harness) {
	e := open(t, h)
	b := NewBatch(deviceA, 0, 10)
	storeNew(t, e, b)
	enough := fmt.Errorf("seen enough")
	seen := 0
	ctx, cancel := context.WithTimeout(t.Context(), recoverLimit)
	defer cancel()
	err := e.(engine.Tailer).Tail(ctx, true, func(payload []byte) error {
		if want := b.Records[seen].Payload; h.normal(string(payload)) != h.normal(string(want)) {
			t.Errorf("record %d of the tail is\n%s, want\n%s", seen, payload, want)
		}
		if seen++; seen == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 3 {
		t.Errorf("tail ended after %d records with %v, want after 3 with its function's error", seen, err)
	}
}
