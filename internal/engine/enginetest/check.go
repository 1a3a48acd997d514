package enginetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Waits of the suite. A healthy store answers in milliseconds; the limits are for a busy machine.
const (
	storeLimit   = 30 * time.Second // one Store, including an engine's own wait on a broken store
	recoverLimit = 10 * time.Second // from the cure to the first stored record and a good probe
	prompt       = 2 * time.Second  // from the end of a context to the return of the call
)

// open opens an engine that is closed when the case ends.
func open(t *testing.T, h Harness) engine.Engine {
	t.Helper()
	e := h.Open(t)
	t.Cleanup(func() { closeEngine(t, e) })
	return e
}

func closeEngine(t *testing.T, e engine.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// tryStore stores the batch in lane 0 and returns the batch's error or the first item's.
func tryStore(t *testing.T, e engine.Engine, b *engine.Batch) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storeLimit)
	defer cancel()
	items := b.Len()
	if err := e.Store(ctx, 0, b); err != nil {
		return checkTyped(t, err)
	}
	if len(b.Results) != items {
		t.Fatalf("%d results for %d items", len(b.Results), items)
	}
	for _, result := range b.Results {
		if result.Err != nil {
			return checkTyped(t, result.Err)
		}
	}
	return nil
}

// checkTyped makes sure that an engine's error can be acted upon.
func checkTyped(t *testing.T, err error) error {
	t.Helper()
	var typed *engine.Error
	if !errors.As(err, &typed) {
		t.Fatalf("store failed with %T, want *engine.Error: %v", err, err)
	}
	return err
}

// store stores the batch, which must succeed, and returns which items were duplicates.
func store(t *testing.T, e engine.Engine, b *engine.Batch) []bool {
	t.Helper()
	if err := tryStore(t, e, b); err != nil {
		t.Fatalf("store: %v", err)
	}
	duplicates := make([]bool, len(b.Results))
	for i, result := range b.Results {
		duplicates[i] = result.Duplicate
	}
	return duplicates
}

// storeNew stores a batch none of whose items is stored already.
func storeNew(t *testing.T, e engine.Engine, b *engine.Batch) {
	t.Helper()
	for i, duplicate := range store(t, e, b) {
		if duplicate {
			t.Errorf("item %d is new and was reported as a duplicate", i)
		}
	}
}

// wantDuplicates compares what store returned: one character an item, d for a duplicate.
func wantDuplicates(t *testing.T, got []bool, want string) {
	t.Helper()
	text := make([]byte, len(got))
	for i, duplicate := range got {
		text[i] = '.'
		if duplicate {
			text[i] = 'd'
		}
	}
	if string(text) != want {
		t.Errorf("duplicates are %q, want %q", text, want)
	}
}

// wantRecords compares all stored records, byte by byte and in order.
func wantRecords(t *testing.T, h Harness, want ...engine.Record) {
	t.Helper()
	got := h.Records(t)
	for i := range min(len(got), len(want)) {
		if expected := asStored(want[i]); got[i] != expected {
			t.Fatalf("stored record %d is\n%+v, want\n%+v", i, got[i], expected)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records are stored, want %d", len(got), len(want))
	}
}

// asStored is what an independent client must find of a record. It keeps none of its bytes.
func asStored(r engine.Record) Stored {
	return Stored{DeviceID: r.DeviceID, Codec: r.Codec, Timestamp: r.Timestamp, Payload: string(r.Payload)}
}

// wantDeadLetters compares all stored dead letters, in order.
func wantDeadLetters(t *testing.T, h Harness, want ...engine.DeadLetter) {
	t.Helper()
	got := h.DeadLetters(t)
	if len(got) != len(want) {
		t.Fatalf("%d dead letters are stored, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		same := g.DeviceID == w.DeviceID && g.Codec == w.Codec && g.Reason == w.Reason &&
			g.Received.Equal(w.Received.Truncate(time.Millisecond)) && bytes.Equal(g.Frame, w.Frame) && g.Transport == w.Transport
		if !same {
			t.Fatalf("stored dead letter %d is\n%+v, want\n%+v", i, g, w)
		}
	}
}

// wantMessages compares all stored messages, in order.
func wantMessages(t *testing.T, h Harness, want ...engine.Message) {
	t.Helper()
	got := h.Messages(t)
	if len(got) != len(want) {
		t.Fatalf("%d messages are stored, want %d", len(got), len(want))
	}
	for i := range got {
		wantMessage(t, i, got[i], want[i])
	}
}

func wantMessage(t *testing.T, i int, got, want engine.Message) {
	t.Helper()
	same := got.DeviceID == want.DeviceID && got.Codec == want.Codec && got.Type == want.Type &&
		got.Received.Equal(want.Received.Truncate(time.Millisecond)) && bytes.Equal(got.Payload, want.Payload) &&
		got.Sent.IsZero() == want.Sent.IsZero() && got.Sent.Equal(want.Sent)
	if !same {
		t.Fatalf("message %d is\n%+v, want\n%+v", i, got, want)
	}
}

// probe asks the engine with a deadline and makes sure that it is kept.
func probe(t *testing.T, e engine.Engine) (engine.Status, error) {
	t.Helper()
	const deadline = 3 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	start := time.Now()
	status, err := e.Probe(ctx)
	if took := time.Since(start); took > deadline+prompt {
		t.Errorf("probe took %v with a deadline of %v", took, deadline)
	}
	return status, err
}
