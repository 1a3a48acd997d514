package enginetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Waits of the suite. A healthy store answers in milliseconds; the limits are for a busy machine.
const (
	storeLimit   = 30 * time.Second        // one Store, including an engine's own wait on a broken store
	recoverLimit = time.Minute             // from the cure to the first stored record and a good probe
	prompt       = 3500 * time.Millisecond // from the end of a context to the return of the call
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

// storeInLanes stores the batch, each device's items in its lane. Its epochs are the lanes' together.
func storeInLanes(ctx context.Context, e engine.Engine, b *engine.Batch) error {
	for lane, part := range split(e, b) {
		if err := e.Store(ctx, lane, Sized(&part.batch)); err != nil {
			return err
		}
		for i, result := range part.batch.Results {
			b.Results[part.from[i]] = result
		}
		for k, epoch := range part.batch.Epochs {
			b.Epochs[k] += epoch
		}
	}
	return nil
}

// part is what one lane has of a batch, and where its items come from.
type part struct {
	batch engine.Batch
	from  []int
}

// split takes a batch apart. One without items goes to the lanes of both devices.
func split(e engine.Engine, b *engine.Batch) map[int]*part {
	b.Epochs = [engine.Kinds]uint64{}
	parts := map[int]*part{}
	of := func(device string) *part {
		lane := e.Lane(device)
		if parts[lane] == nil {
			parts[lane] = &part{batch: engine.Batch{ID: b.ID, Known: b.Known}}
		}
		return parts[lane]
	}
	if b.Len() == 0 {
		of(deviceA)
		of(deviceB)
	}
	n := 0
	for _, r := range b.Records {
		p := of(r.DeviceID)
		p.batch.Records, p.from, n = append(p.batch.Records, r), append(p.from, n), n+1
	}
	for _, d := range b.DeadLetters {
		p := of(d.DeviceID)
		p.batch.DeadLetters, p.from, n = append(p.batch.DeadLetters, d), append(p.from, n), n+1
	}
	for _, m := range b.Messages {
		p := of(m.DeviceID)
		p.batch.Messages, p.from, n = append(p.batch.Messages, m), append(p.from, n), n+1
	}
	return parts
}

// inOrder sorts items by device, and leaves each device's in their order: that of different devices is nobody's matter.
func inOrder[T any](items []T, device func(T) string) []T {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(device(a), device(b)) })
	return items
}

func storedDevice(r Stored) string          { return r.DeviceID }
func deadStoredDevice(d StoredDead) string  { return d.DeviceID }
func recordDevice(r engine.Record) string   { return r.DeviceID }
func deadDevice(d engine.DeadLetter) string { return d.DeviceID }
func messageDevice(m engine.Message) string { return m.DeviceID }

// tryStore stores the batch and returns the batch's error or the first item's.
func tryStore(t *testing.T, e engine.Engine, b *engine.Batch) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storeLimit)
	defer cancel()
	items := b.Len()
	if err := storeInLanes(ctx, e, b); err != nil {
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

// wantRecords compares all stored records, byte by byte and in each device's order.
func wantRecords(t *testing.T, h Harness, want ...engine.Record) {
	t.Helper()
	got, want := inOrder(h.Records(t), storedDevice), inOrder(want, recordDevice)
	for i := range min(len(got), len(want)) {
		got[i].Payload = h.normal(got[i].Payload)
		expected := asStored(want[i])
		if expected.Payload = h.normal(expected.Payload); got[i] != expected {
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

// wantDeadLetters compares all stored dead letters, in each device's order.
func wantDeadLetters(t *testing.T, h Harness, want ...engine.DeadLetter) {
	t.Helper()
	got, want := inOrder(h.DeadLetters(t), deadStoredDevice), inOrder(want, deadDevice)
	if len(got) != len(want) {
		t.Fatalf("%d dead letters are stored, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		same := g.DeviceID == w.DeviceID && g.Codec == w.Codec && g.Reason == w.Reason &&
			g.Received.Equal(
				w.Received.Truncate(time.Millisecond),
			) && bytes.Equal(g.Frame, w.Frame) && g.Transport == w.Transport
		if !same {
			t.Fatalf("stored dead letter %d is\n%+v, want\n%+v", i, g, w)
		}
	}
}

// wantMessages compares all stored messages, in each device's order.
func wantMessages(t *testing.T, h Harness, want ...engine.Message) {
	t.Helper()
	got, want := inOrder(h.Messages(t), messageDevice), inOrder(want, messageDevice)
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
