package authority

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
)

// listFile is a file in a directory of its own.
func listFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "devices")
	write(t, path, content)
	return path
}

// write writes in place.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes another file and renames it.
func replace(t testing.TB, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// quick is a source that takes changes after a moment.
func quick(path string) *source.File[*set] {
	f := NewFile(path)
	f.Settle = 10 * time.Millisecond
	return f
}

func TestFileFormat(t *testing.T) {
	for _, c := range []struct {
		name, content string
		size, skipped int
		first         []string
	}{
		{name: "empty"},
		{name: "no identifier", content: "# nothing\n\n   \n\t\r\n#\n"},
		{name: "plain", content: imei(1) + "\n" + imei(2) + "\n", size: 2},
		{name: "no newline at the end", content: imei(1) + "\n" + imei(2), size: 2},
		{name: "windows", content: "\xef\xbb\xbf" + imei(1) + "\r\n\r\n" + imei(2) + "\r\n", size: 2},
		{name: "blanks and comments", size: 3,
			content: "# fleet\n  " + imei(1) + " # truck 7\n" + imei(2) + "#\n\t" + imei(3) + "\t\n"},
		{name: "twice", content: imei(1) + "\n" + imei(1) + "\n", size: 1},
		{name: "other identifiers", content: "Tracker7\n123\n" + imei(1), size: 3},
		{name: "bad lines",
			content: "imei;truck\n" + imei(1) + "\n35 630704 244101 3\n" + imei(2) + "\n\x00\n", size: 2, skipped: 3,
			first: []string{"line 1", "line 3", "line 5"}},
		{name: "long lines", content: strings.Repeat("9", 65) + "\n" + imei(1) + "#" + strings.Repeat("x", 10_000) + "\n" +
			strings.Repeat("y", 100_000) + "\n" + imei(2), size: 2, skipped: 2, first: []string{"line 1", "line 3"}},
		{name: "many bad lines", content: strings.Repeat("?\n", 1000) + imei(1), size: 1, skipped: 1000,
			first: []string{"line 1", "line 2", "line 3", "line 4", "line 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewFile(listFile(t, c.content)).Read(context.Background(), false)
			if err != nil {
				t.Fatal(err)
			}
			if s.size() != c.size || s.skipped.count != c.skipped || !slices.Equal(s.skipped.first, c.first) {
				t.Errorf("%d devices, skipped %+v, want %d and %d %v", s.size(), s.skipped, c.size, c.skipped, c.first)
			}
		})
	}
}

// BenchmarkFileMillion reads a file of a million devices.
func BenchmarkFileMillion(b *testing.B) {
	var content strings.Builder
	for i := range million {
		fmt.Fprintln(&content, imei(i))
	}
	f := NewFile(listFile(b, content.String()))
	b.ReportAllocs()
	for b.Loop() {
		if s, err := f.Read(context.Background(), true); err != nil || s.size() != million {
			b.Fatal(err)
		}
	}
}
