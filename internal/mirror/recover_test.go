package mirror

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnreadableSegments are left alone and told, and the mirror has what is in the others. How much a torn one loses
// is told, too.
func TestUnreadableSegments(t *testing.T) {
	dir := t.TempDir()
	entry := appendEntry(nil, imei, frame(7))
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := filepath.Join(dir, "0000000000000001"+suffix)
	if err := os.Symlink("/proc/self/mem", broken); err != nil { // its first byte is an I/O error
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "0000000000000002"+suffix), 0o700); err != nil {
		t.Fatal(err)
	}
	write("0000000000000003", append(bytes.Clone(entry), entry[:17]...))
	write("0000000000000004", entry)
	var log strings.Builder
	p := newPlatform(t).come()
	m := mirrorTo(t, p, func(o *Options) { o.Dir, o.Logger = dir, slog.New(slog.NewTextHandler(&log, nil)) })
	p.has(imei, []byte{7, 7})
	end(t, m)
	if _, err := os.Lstat(broken); err != nil {
		t.Error("what cannot be read is gone:", err)
	}
	for text, want := range map[string]int{"leaves it alone": 2, "cuts the torn end": 1, "bytes=17": 1} {
		if n := strings.Count(log.String(), text); n != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, n, want, log.String())
		}
	}
}
