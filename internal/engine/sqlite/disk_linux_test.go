package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// mountMemory mounts a small file system for the test, which needs root.
func mountMemory(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Fatalf("mount tmpfs (the tests need root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillDisk uses up the file system's space and returns the file to remove.
func fillDisk(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return ballast
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the disk of a running engine and frees it again.
func TestFullDisk(t *testing.T) {
	dir := mountMemory(t)
	e := startIn(t, dir)
	all := enginetest.NewBatch(device, 0, 50).Records
	storeAll(t, e, enginetest.NewBatch(device, 0, 50))

	ballast := fillDisk(t, dir)
	for range 3 {
		b := enginetest.NewBatch(device, 50, 1000)
		err := e.Store(t.Context(), 0, b)
		wantFailure(t, err, "disk is full")
		_, err = e.Probe(t.Context())
		wantFailure(t, err, "free disk space")
	}
	wantStored(t, e.path, all...)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if status, err := e.Probe(t.Context()); err != nil || status.Length != 50 {
		t.Errorf("probe after the cure: %+v, %v", status, err)
	}
	b := enginetest.NewBatch(device, 50, 1000)
	storeAll(t, e, b)
	wantStored(t, e.path, append(all, b.Records...)...)
}

// TestStartOnFullDisk opens an engine that cannot even create its file.
func TestStartOnFullDisk(t *testing.T) {
	dir := mountMemory(t)
	ballast := fillDisk(t, dir)
	e := startIn(t, dir)
	wantFailure(t, e.Store(t.Context(), 0, enginetest.NewBatch(device, 0, 5)), "disk is full")
	if _, err := e.Probe(t.Context()); err == nil {
		t.Error("probe finds nothing wrong with a full disk")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, enginetest.NewBatch(device, 0, 5))
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 5).Records...)
}

// TestMemoryIsNoDisk tells a disk from memory.
func TestMemoryIsNoDisk(t *testing.T) {
	e := startIn(t, mountMemory(t))
	d, err := e.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Class != engine.MemoryOnly || !strings.Contains(strings.Join(d.Warnings, "\n"), "in memory (tmpfs)") {
		t.Errorf("on tmpfs: %+v", d)
	}
}
