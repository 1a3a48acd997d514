package sqlite

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// TestFilesAreNotForOthers makes files with a umask that hides nothing, and opens files that everybody may read.
func TestFilesAreNotForOthers(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	e := start(t)
	wantModes := func() {
		t.Helper()
		for _, ending := range sqlitefile.SideFiles {
			if info, err := os.Stat(e.path + ending); err != nil || info.Mode() != 0o640 {
				t.Errorf("%q is %v, %v", ending, info.Mode(), err)
			}
		}
	}
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	wantModes()

	older := startIn(t, t.TempDir())
	storeAll(t, older, enginetest.NewBatch(device, 0, 1))
	for _, ending := range sqlitefile.SideFiles {
		if err := os.Chmod(older.path+ending, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e = startIn(t, filepath.Dir(older.path))
	storeAll(t, e, enginetest.NewBatch(device, 1, 1))
	wantModes()
}

// TestFileOfAnotherUser warns once that others may read the file, where that cannot be changed.
func TestFileOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	first := openEngine(t, filepath.Join(dir, FileName))
	storeAll(t, first, enginetest.NewBatch(device, 0, 1))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(first.path, 0o644); err != nil {
		t.Fatal(err)
	}
	// for root too
	for _, flags := range []uintptr{syscall.MS_BIND, syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY} {
		if err := syscall.Mount(first.path, first.path, "", flags, ""); err != nil {
			t.Fatalf("bind mount (the tests need root): %v", err)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(first.path, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	var log bytes.Buffer
	e := newEngine(first.path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		_, err := e.Probe(t.Context())
		wantFailure(t, err, "not writable")
	}
	if n := strings.Count(log.String(), "database is open to other users"); n != 1 {
		t.Errorf("there are %d warnings:\n%s", n, &log)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
