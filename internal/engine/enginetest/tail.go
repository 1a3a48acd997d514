package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var tailCases = []testCase{
	{"from the start", tailFromStart},
	{"from now on", tailFromNow},
	{"of nothing yet", tailOfNothing},
	{"ended by its function", tailEndedByFunction},
}

// tailing is one running Tail.
type tailing struct {
	seen   chan string // payloads in order
	cancel context.CancelFunc
	result chan error
}

func startTail(t *testing.T, e engine.Engine, fromStart bool) *tailing {
	ctx, cancel := context.WithCancel(t.Context())
	tail := &tailing{seen: make(chan string, 10000), cancel: cancel, result: make(chan error, 1)}
	go func() {
		tail.result <- e.Tail(ctx, fromStart, func(payload []byte) error {
			tail.seen <- string(payload)
			return nil
		})
	}()
	return tail
}

// next returns the next payload.
func (tail *tailing) next(t *testing.T) string {
	t.Helper()
	select {
	case payload := <-tail.seen:
		return payload
	case err := <-tail.result:
		t.Fatalf("tail ended: %v", err)
	case <-time.After(recoverLimit):
		t.Fatal("tail shows no further record")
	}
	return ""
}

func (tail *tailing) want(t *testing.T, records []engine.Record) {
	t.Helper()
	for i, r := range records {
		if got := tail.next(t); got != string(r.Payload) {
			t.Fatalf("record %d of the tail is\n%s, want\n%s", i, got, r.Payload)
		}
	}
}

// stop ends the context; Tail returns promptly, with nothing but the context's own error.
func (tail *tailing) stop(t *testing.T) {
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
		t.Errorf("tail showed more than was stored: %s", extra)
	default:
	}
}

func tailFromStart(t *testing.T, h Harness) {
	e := open(t, h)
	old := NewBatch(deviceA, 0, 1500)
	storeNew(t, e, old)
	tail := startTail(t, e, true)
	defer tail.cancel()
	tail.want(t, old.Records)
	for i := range 5 {
		b := NewBatch(deviceB, i*10, 10)
		storeNew(t, e, b)
		tail.want(t, b.Records)
	}
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
	eventually(t, recoverLimit, "the first record of the tail", func() error {
		b := NewBatch(deviceB, stored, 1)
		storeNew(t, e, b)
		position[string(b.Records[0].Payload)] = stored
		stored++
		if len(tail.seen) == 0 {
			return errors.New("nothing shown yet")
		}
		return nil
	})
	first, known := position[tail.next(t)]
	if !known {
		t.Fatal("the tail shows a record stored before it started")
	}
	tail.want(t, NewBatch(deviceB, first+1, stored-first-1).Records)

	more := NewBatch(deviceA, 10, 300)
	storeNew(t, e, more)
	tail.want(t, more.Records)
	tail.stop(t)
}

func tailOfNothing(t *testing.T, h Harness) {
	e := open(t, h)
	tail := startTail(t, e, true)
	defer tail.cancel()
	b := NewBatch(deviceA, 0, 3)
	storeNew(t, e, b)
	tail.want(t, b.Records)
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
	err := e.Tail(ctx, true, func(payload []byte) error {
		if want := b.Records[seen].Payload; string(payload) != string(want) {
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
