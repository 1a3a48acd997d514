package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "position")
	for _, content := range []string{"a longer first content", "second"} {
		if err := Write(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("the file has %q and %v, want %q", got, err, content)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left, want the one", len(entries))
	}
}

// TestWriteFailsWhole leaves the old content when the new one cannot take its place.
func TestWriteFailsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "missing", "position"), nil, 0o640); err == nil {
		t.Error("a file is written into no directory")
	}
	path := filepath.Join(dir, "position")
	if err := Write(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o640); err == nil {
		t.Error("a write goes well that has nowhere to begin")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the file has %q and %v after a failure, want the old content", got, err)
	}
}
