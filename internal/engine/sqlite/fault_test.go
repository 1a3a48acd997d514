package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

const device = "356307042441013"

// storeAll stores the batch, which must succeed without a duplicate.
func storeAll(t testing.TB, e *Engine, b *engine.Batch) {
	t.Helper()
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatalf("store: %v", err)
	}
	for i, result := range b.Results {
		if result.Duplicate || result.Err != nil {
			t.Fatalf("item %d: %+v", i, result)
		}
	}
}

// wantFailure makes sure that the error is transient and says what an operator should do.
func wantFailure(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("no failure")
	}
	if !engine.IsTransient(err) {
		t.Errorf("not transient: %v", err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("the failure does not say %q: %v", text, err)
	}
}

// wantStored compares all payloads in the file at the path with the records'.
func wantStored(t *testing.T, path string, want ...engine.Record) {
	t.Helper()
	got := query[string](t, path, "SELECT payload FROM records ORDER BY seq")
	if len(got) != len(want) {
		t.Fatalf("%d records are stored, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != string(want[i].Payload) {
			t.Fatalf("record %d is\n%s, want\n%s", i, got[i], want[i].Payload)
		}
	}
}

// TestFailedStoreIsProbedByWriting makes sure that a probe does not clear a failure by luck.
func TestFailedStoreIsProbedByWriting(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	db := connect(t, e.path)
	defer db.Close()
	watching, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Close()
	version := func() (v int64) {
		t.Helper()
		if err := watching.QueryRowContext(t.Context(), "PRAGMA data_version").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	if _, err := e.Probe(t.Context()); err != nil || version() != before {
		t.Fatalf("a probe of a healthy engine wrote something, or failed with %v", err)
	}

	lock := &writeLock{path: e.path}
	lock.take(t)
	wantFailure(t, e.Store(t.Context(), 0, enginetest.NewBatch(device, 1, 1)), "write lock")
	_, err = e.Probe(t.Context())
	wantFailure(t, err, "write lock")
	lock.release(t)
	if _, err := e.Probe(t.Context()); err != nil || version() == before {
		t.Fatalf("the probe after a failed store wrote nothing, or failed with %v", err)
	}
}

// TestLockHeldForAMoment waits for a lock that is released in time.
func TestLockHeldForAMoment(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	e.lockWait = 30 * time.Second
	lock := &writeLock{path: e.path}
	lock.take(t)
	stored := make(chan error, 1)
	go func() { stored <- e.Store(context.Background(), 0, enginetest.NewBatch(device, 1, 1)) }()
	lock.release(t)
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
}

// TestLockBeyondContext gives up waiting for a lock when the context ends. Nothing is stored then,
// and the error says so.
func TestLockBeyondContext(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	e.lockWait = time.Hour
	lock := &writeLock{path: e.path}
	lock.take(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := e.Store(ctx, 0, enginetest.NewBatch(device, 1, 1))
	wantFailure(t, err, "write lock")
	if engine.IsAmbiguous(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("store ended with %v, want the context's end and no ambiguity", err)
	}
	lock.release(t)
	storeAll(t, e, enginetest.NewBatch(device, 1, 1))
}

// damage overwrites the database, but not by this process: closing the file would drop the
// process's own locks on it.
func damage(t *testing.T, path string, from int) {
	t.Helper()
	dd := exec.Command(
		"dd",
		"of="+path,
		"bs=1024",
		fmt.Sprintf("seek=%d", from),
		"count=200",
		"conv=notrunc",
		"status=none",
	)
	dd.Stdin = bytes.NewReader(bytes.Repeat([]byte("garbage "), 200*128))
	if out, err := dd.CombinedOutput(); err != nil {
		t.Fatalf("dd: %v: %s", err, out)
	}
}

// TestCorruptFile opens a file that is not a database, then one whose pages are damaged while it
// is open. Removing the file is the cure for both.
func TestCorruptFile(t *testing.T) {
	for name, from := range map[string]int{"header": 0, "pages": 4} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			first := openEngine(t, path)
			storeAll(t, first, enginetest.NewBatch(device, 0, 2000))
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path, from)

			e := startIn(t, dir)
			b := enginetest.NewBatch(device, 5000, 100)
			wantFailure(t, e.Store(t.Context(), 0, b), "damaged")
			wantFailure(t, e.Store(t.Context(), 0, b), "damaged")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			storeAll(t, e, b)
			wantStored(t, path, b.Records...)
			if _, err := e.Probe(t.Context()); err != nil {
				t.Errorf("probe after the cure: %v", err)
			}
		})
	}
}

// TestDirectoryInTheWay has a file where the data directory should be.
func TestDirectoryInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := startIn(t, dir)
	_, err := e.Probe(t.Context())
	wantFailure(t, err, "not a directory")
	wantFailure(t, e.Store(t.Context(), 0, enginetest.NewBatch(device, 0, 1)), "not a directory")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the directory was created as %v, %v", info, err)
	}
}

// TestHangingWrite has a write that does not come back, as on a disk that hangs.
func TestHangingWrite(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	answer := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := inTurn(ctx, e, func(*writer) (struct{}, error) { <-answer; return struct{}{}, nil })
	wantFailure(t, err, "no answer from the disk")
	if !engine.IsAmbiguous(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the failure is not ambiguous: %v", err)
	}
	err = e.Store(ctx, 0, enginetest.NewBatch(device, 1, 1))
	wantFailure(t, err, "earlier write is still running")
	if engine.IsAmbiguous(err) {
		t.Errorf("a write that never began is ambiguous: %v", err)
	}
	if _, err := e.Probe(ctx); err == nil {
		t.Error("probe finds nothing wrong with a disk that hangs")
	}
	close(answer)
	storeAll(t, e, enginetest.NewBatch(device, 1, 1))
}

// TestNewerSchema refuses a file that this program does not understand, for good.
func TestNewerSchema(t *testing.T) {
	e := start(t)
	db := connect(t, e.path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", schemaVersion+1)); err != nil {
		t.Fatal(err)
	}
	err := e.Store(t.Context(), 0, enginetest.NewBatch(device, 0, 1))
	if !strings.Contains(err.Error(), "newer version") || engine.IsTransient(err) {
		t.Errorf("store into a newer file: %v", err)
	}
}
