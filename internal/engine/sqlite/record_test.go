package sqlite

import (
	"bytes"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// replacementsOf are those that give every record another end.
func replacementsOf(t *testing.T, e *Engine) (all []engine.Replacement) {
	t.Helper()
	err := e.EachRecord(t.Context(), func(ref string, payload []byte) error {
		now := append(bytes.TrimSuffix(bytes.Clone(payload), []byte("}")), `,"dict":"2"}`...)
		all = append(all, engine.Replacement{Ref: ref, Was: bytes.Clone(payload), Now: now})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestReplaceRecords changes payloads and nothing else, and only those that are what they were taken for.
func TestReplaceRecords(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 300))
	all := replacementsOf(t, e)
	all[7].Was = []byte("{}")
	if n, err := e.ReplaceRecords(t.Context(), all); err != nil || n != 299 {
		t.Fatalf("%d replaced, %v", n, err)
	}
	got := query[string](t, e.path, "SELECT payload FROM records ORDER BY seq")
	for i, r := range enginetest.NewBatch(device, 0, 300).Records {
		want := string(all[i].Now)
		if i == 7 {
			want = string(r.Payload)
		}
		if got[i] != want {
			t.Fatalf("record %d is %s, want %s", i, got[i], want)
		}
	}
	b := enginetest.NewBatch(device, 0, 300)
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, r := range b.Results {
		if !r.Duplicate {
			t.Fatalf("record %d is not recognised any more", i)
		}
	}
	if n, err := e.ReplaceRecords(t.Context(), all); err != nil || n != 0 {
		t.Errorf("a second time %d are replaced, %v", n, err)
	}
	if _, err := e.ReplaceRecords(t.Context(), []engine.Replacement{{Ref: "x"}}); err == nil {
		t.Error("a reference that cannot be is taken")
	}
}

// TestReplaceRecordsUnderALock changes nothing while another client writes.
func TestReplaceRecordsUnderALock(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 5))
	all := replacementsOf(t, e)
	lock := &writeLock{path: e.path}
	lock.take(t)
	_, err := e.ReplaceRecords(t.Context(), all)
	lock.release(t)
	wantFailure(t, err, "write lock")
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 5).Records...)
}
