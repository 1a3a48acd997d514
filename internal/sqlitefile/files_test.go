package sqlitefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// TestCreateWhateverTheUmask makes files that others cannot read, with a umask that hides nothing.
func TestCreateWhateverTheUmask(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	path := filepath.Join(t.TempDir(), "new", "data", "x.db")
	for range 2 { // the second time it is there
		if err := Create(path, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if file, dir := modeOf(t, path), modeOf(t, filepath.Dir(path)); file != 0o640 || dir != 0o750 {
		t.Errorf("the file is %o, the directory %o", file, dir)
	}
}

// TestTightenNeverLoosens takes rights away and gives none.
func TestTightenNeverLoosens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	for _, c := range []struct{ is, want fs.FileMode }{
		{0o644, 0o640}, {0o666, 0o640}, {0o777, 0o640}, {0o640, 0o640}, {0o600, 0o600}, {0o604, 0o600}, {0o400, 0o400},
		{0o460, 0o440},
	} {
		for _, ending := range SideFiles {
			if err := errors.Join(os.WriteFile(path+ending, nil, 0o600), os.Chmod(path+ending, c.is)); err != nil {
				t.Fatal(err)
			}
		}
		if err := Tighten(path); err != nil {
			t.Fatal(err)
		}
		for _, ending := range SideFiles {
			if is := modeOf(t, path+ending); is != c.want {
				t.Errorf("%q was %o and is %o, want %o", ending, c.is, is, c.want)
			}
			if err := os.Remove(path + ending); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Tighten(path); err != nil {
		t.Errorf("no file at all: %v", err)
	}
}
