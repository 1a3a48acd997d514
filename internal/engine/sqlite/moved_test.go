package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// TestRemovedFile removes files under a running engine. What it confirms afterwards is in the
// files that are at the path.
func TestRemovedFile(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"database": func(dir string) error { return os.Remove(filepath.Join(dir, FileName)) },
		"all three": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, FileName)),
				os.Remove(filepath.Join(dir, FileName+"-wal")), os.Remove(filepath.Join(dir, FileName+"-shm")))
		},
		"directory": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			e := startIn(t, dir)
			for round := range 3 {
				b := enginetest.NewBatch(device, round*100, 100)
				storeAll(t, e, b)
				wantStored(t, e.path, b.Records...)
				if err := remove(dir); err != nil {
					t.Fatal(err)
				}
				if round == 1 {
					if status, err := e.Probe(t.Context()); err != nil || status.Length != 0 {
						t.Errorf("probe of a new file: %+v, %v", status, err)
					}
				}
			}
		})
	}
}

// TestRemovedLog removes only the write-ahead log: what is in it can still be saved.
func TestRemovedLog(t *testing.T) {
	e := start(t)
	first, second := enginetest.NewBatch(device, 0, 100), enginetest.NewBatch(device, 100, 100)
	storeAll(t, e, first)
	if err := os.Remove(e.path + "-wal"); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, second)
	wantStored(t, e.path, append(first.Records, second.Records...)...)
}

// TestReplacedFile puts another database in the place of the open one.
func TestReplacedFile(t *testing.T) {
	other := openEngine(t, filepath.Join(t.TempDir(), FileName))
	restored := enginetest.NewBatch(device, 1000, 10)
	storeAll(t, other, restored)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}

	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 100))
	if err := os.Rename(other.path, e.path); err != nil {
		t.Fatal(err)
	}
	b := enginetest.NewBatch(device, 1005, 10)
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		if result.Duplicate != (i < 5) {
			t.Errorf("record %d is a duplicate: %t", i, result.Duplicate)
		}
	}
	wantStored(t, e.path, append(restored.Records, b.Records[5:]...)...)
}

// TestRemovedWhileCommitting removes the file between the begin and the commit of a write.
func TestRemovedWhileCommitting(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 10))
	w, err := e.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.staged.copy(enginetest.NewBatch(device, 10, 10))
	if err := w.begin(t.Context(), e.lockWait); err != nil {
		t.Fatal(err)
	}
	if err := w.insert(make([]bool, 10)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(e.path); err != nil {
		t.Fatal(err)
	}
	err = w.commit()
	e.turns.Give(w)
	wantFailure(t, err, "removed or replaced")
	if !errors.Is(err, errMoved) || !engine.IsAmbiguous(err) {
		t.Errorf("the failure is not ambiguous: %v", err)
	}
	b := enginetest.NewBatch(device, 10, 10)
	storeAll(t, e, b)
	wantStored(t, e.path, b.Records...)
}

// TestReplacedFileStillRead has a client that reads the old file, so that its log cannot be
// emptied: storing waits for it rather than mix two databases.
func TestReplacedFileStillRead(t *testing.T) {
	e := start(t)
	first, second := enginetest.NewBatch(device, 0, 100), enginetest.NewBatch(device, 100, 100)
	storeAll(t, e, enginetest.NewBatch(device, 1000, 1))
	db := connect(t, e.path)
	defer db.Close()
	reading, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var count int
	if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM records").Scan(&count); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, first)
	old := e.path + ".old"
	if err := os.Rename(e.path, old); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, e.Store(t.Context(), 0, second), "still reads the old one")
	_, err = e.Probe(t.Context())
	wantFailure(t, err, "still reads the old one")

	if err := errors.Join(reading.Rollback(), db.Close()); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, second)
	wantStored(t, e.path, second.Records...)
	wantStored(t, old, append(enginetest.NewBatch(device, 1000, 1).Records, first.Records...)...)
}

// TestTailOverReplacedFile follows the path, not the file.
func TestTailOverReplacedFile(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 50))
	seen := make(chan string, 1000)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- e.Tail(ctx, true, func(payload []byte) error { seen <- string(payload); return nil })
	}()
	want := func(first, count int) {
		t.Helper()
		for _, r := range enginetest.NewBatch(device, first, count).Records {
			if got := <-seen; got != string(r.Payload) {
				t.Fatalf("the tail shows\n%s, want\n%s", got, r.Payload)
			}
		}
	}
	want(0, 50)
	if err := os.Remove(e.path); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, enginetest.NewBatch(device, 50, 70)) // more than the tail has seen
	want(50, 70)
	storeAll(t, e, enginetest.NewBatch(device, 120, 5))
	want(120, 5)
	cancel()
	<-ended
}
