package enginetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var eachRecordCases = []testCase{
	{"that is there", eachThatIsThere},
	{"of none", eachOfNone},
	{"ended by its function or context", eachEnded},
}

// eachThatIsThere stores more from within the function, which is not shown, and wants refs that stay.
func eachThatIsThere(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, NewBatch(deviceA, 0, 1203))
	want := h.Records(t)
	read := func(during func()) (payloads, refs []string) {
		t.Helper()
		err := e.(engine.RecordReader).EachRecord(t.Context(), func(ref string, payload []byte) error {
			payloads, refs = append(payloads, string(payload)), append(refs, ref)
			during()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return payloads, refs
	}
	stored := false
	payloads, refs := read(func() {
		if !stored {
			stored = true
			storeNew(t, e, NewBatch(deviceB, 0, 10))
		}
	})
	if len(payloads) != len(want) {
		t.Fatalf("%d records are shown, want the %d that were there", len(payloads), len(want))
	}
	for i, r := range want {
		if h.normal(payloads[i]) != h.normal(r.Payload) {
			t.Fatalf("record %d is\n%s, want\n%s", i, payloads[i], r.Payload)
		}
	}
	again, refsAgain := read(func() {})
	if len(again) != len(want)+10 || !slices.Equal(refs, refsAgain[:len(refs)]) {
		t.Errorf("%d records are shown later, or others have the refs of the first", len(again))
	}
	slices.Sort(refs)
	if unique := slices.Compact(refs); len(unique) != len(want) {
		t.Errorf("%d records have %d refs", len(want), len(unique))
	}
}

func eachOfNone(t *testing.T, h Harness) {
	e := open(t, h)
	err := e.(engine.RecordReader).EachRecord(t.Context(), func(string, []byte) error {
		t.Error("a record is shown")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func eachEnded(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, NewBatch(deviceA, 0, 10))
	enough := errors.New("seen enough")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	count := func(end func() error) func(string, []byte) error {
		seen = 0
		return func(string, []byte) error {
			if seen++; seen == 3 {
				return end()
			}
			return nil
		}
	}
	err := e.(engine.RecordReader).EachRecord(ctx, count(func() error { return enough }))
	if !errors.Is(err, enough) || seen != 3 {
		t.Errorf("ended after %d records with %v, want after 3 with its function's error", seen, err)
	}
	err = e.(engine.RecordReader).EachRecord(ctx, count(func() error { cancel(); return nil }))
	if !errors.Is(err, context.Canceled) || seen != 3 {
		t.Errorf("ended after %d records with %v, want after 3 with its context's error", seen, err)
	}
}
