package filelock_test

import (
	"os"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/filelock"
)

// TestTakenOnce opens one directory twice, which counts as two processes: a lock belongs to the open file.
func TestTakenOnce(t *testing.T) {
	dir := t.TempDir()
	first, second := open(t, dir), open(t, dir)
	for _, step := range []struct {
		name  string
		file  *os.File
		taken bool
	}{{"first", first, true}, {"second", second, false}, {"first again", first, true}} {
		if taken, err := filelock.Take(step.file); taken != step.taken || err != nil {
			t.Errorf("%s: taken %v, %v, want %v", step.name, taken, err, step.taken)
		}
	}
	first.Close()
	if taken, err := filelock.Take(second); !taken || err != nil {
		t.Errorf("after the first was closed: taken %v, %v", taken, err)
	}
	second.Close()
	if taken, err := filelock.Take(second); taken || err == nil {
		t.Errorf("a closed file: taken %v, %v", taken, err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
