package sqlite

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// besideConsumer is one of an engine that reads beside the service.
func besideConsumer(t *testing.T, dir string) engine.Consumer {
	t.Helper()
	e, err := New(Options{Dir: dir, Beside: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Consumer(t.Context(), "forward")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), e.Close() })
	return c
}

func wantAwaitsService(t *testing.T, c engine.Consumer) {
	t.Helper()
	got, err := c.Next(t.Context(), 10, 0)
	if len(got) > 0 || !engine.IsTransient(err) || !strings.Contains(err.Error(), "waiting for the service") {
		t.Errorf("%d records are read, and the error is %v", len(got), err)
	}
}

func wantRead(t *testing.T, c engine.Consumer, count int) {
	t.Helper()
	if got, err := c.Next(t.Context(), 100, 0); err != nil || len(got) != count {
		t.Errorf("%d records are read, and the error is %v, want %d", len(got), err, count)
	}
}

// TestBesideLeavesEarlierVersion waits until the service has migrated the file.
func TestBesideLeavesEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeFirstVersion(t, path, enginetest.NewBatch(consumed1, 0, 1).Records[0])
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	c := besideConsumer(t, dir)
	wantAwaitsService(t, c)
	if version := query[int](t, path, "PRAGMA user_version")[0]; version != 1 {
		t.Errorf("the file has version %d now", version)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the file has the mode %v now, %v", info.Mode(), err)
	}
	fill(t, startIn(t, dir), consumed2, 0, 1)
	wantRead(t, c, 2)
}

// TestBesideLeavesPlainFile waits for the service to convert a file that a backup has made, without a write-ahead log.
func TestBesideLeavesPlainFile(t *testing.T) {
	e := start(t)
	fill(t, e, consumed1, 0, 3)
	dir := t.TempDir()
	db := connect(t, e.path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	c := besideConsumer(t, dir)
	wantAwaitsService(t, c)
	fill(t, startIn(t, dir), consumed2, 0, 1)
	wantRead(t, c, 4)
}

// TestBesideMakesNoFile waits for one, at the start and when it is moved away in the middle.
func TestBesideMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	c := besideConsumer(t, dir)
	wantAwaitsService(t, c)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there is a file: %v", err)
	}
	e := openEngine(t, path)
	fill(t, e, consumed1, 0, 3)
	wantRead(t, c, 3)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	wantAwaitsService(t, c)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there is a new file: %v", err)
	}
	fill(t, startIn(t, dir), consumed2, 0, 5)
	wantRead(t, c, 5)
}
