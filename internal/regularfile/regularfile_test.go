package regularfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	err := errors.Join(os.WriteFile(file, []byte("12345"), 0o600), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if content, err := regularfile.Read(path, 5); err != nil || string(content) != "12345" {
			t.Errorf("%s: %q, %v", path, content, err)
		}
	}
	if _, err := regularfile.Read(file, 4); err == nil || err.Error() != file+" has more than 4 bytes" {
		t.Error(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := regularfile.Read(path, 5); err == nil || !strings.HasSuffix(err.Error(), path+" is not a regular file") {
			t.Error(err)
		}
	}
	if _, err := regularfile.Read(dir+"/none", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
