package forward

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func newFiles(t *testing.T, dir string, maxBytes int64, maxAge time.Duration) *Files {
	t.Helper()
	s, err := NewFiles(FilesOptions{
		Dir: dir, Prefix: "forward", MaxBytes: maxBytes, MaxAge: maxAge, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func items(ids ...string) (all []Item) {
	for _, id := range ids {
		all = append(all, Item{ID: id, DeviceID: "35a", Payload: document1(id)})
	}
	return all
}

func deliver(t *testing.T, s Sink, ids ...string) {
	t.Helper()
	if err := s.Deliver(t.Context(), items(ids...)); err != nil {
		t.Fatal(err)
	}
}

// idsIn are the ids of the records in the files that fit, in the files' order.
func idsIn(t *testing.T, pattern string) (ids []string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			var d document
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%s: %v in %q", path, err, line)
			}
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func wantIDs(t *testing.T, pattern string, want ...string) {
	t.Helper()
	got := idsIn(t, pattern)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", filepath.Base(pattern), got, want)
	}
}

// TestFilesBySize completes a file once it is large enough, and the last one at the end.
func TestFilesBySize(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new [1]*")
	s := newFiles(t, dir, int64(2*len(document1("a1"))), time.Hour)
	complete, open := filepath.Join(escapeGlob(dir), "*.jsonl"), filepath.Join(escapeGlob(dir), "*.part")
	deliver(t, s, "a1")
	wantIDs(t, complete)
	wantIDs(t, open, "a1")
	deliver(t, s, "a2")
	wantIDs(t, complete, "a1", "a2")
	wantIDs(t, open)
	deliver(t, s, "a3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, complete, "a1", "a2", "a3")
	wantIDs(t, open)
}

// TestFilesByAge completes a file that nothing more is delivered to.
func TestFilesByAge(t *testing.T) {
	dir := t.TempDir()
	s := newFiles(t, dir, 1<<30, 50*time.Millisecond)
	deliver(t, s, "a1")
	testkit.Eventually(t, "the file is complete", func() bool {
		return len(idsIn(t, filepath.Join(dir, "*.jsonl"))) == 1
	})
}

// TestFilesOfKilledProcess keeps whole lines, and leaves alone what another process writes.
func TestFilesOfKilledProcess(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "forward-20261122T110000Z-00000000.jsonl")
	if err := os.WriteFile(left+".part", append(linesOf(items("a1", "a2")), `{"id":"a3`...), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "forward-x.jsonl.part"), []byte(`{"id"`), 0o640); err != nil {
		t.Fatal(err)
	}
	other := newFiles(t, dir, 1<<30, time.Hour)
	wantIDs(t, left, "a1", "a2")
	deliver(t, other, "b1")
	s := newFiles(t, dir, 1<<30, time.Hour)
	deliver(t, s, "c1")
	wantIDs(t, filepath.Join(dir, "*.part"), "b1", "c1")
	deliver(t, other, "b2")
	wantIDs(t, filepath.Join(dir, "*.part"), "b1", "b2", "c1")
}

// TestFilesCutWhatFailed takes a part of a line off that an earlier write left.
func TestFilesCutWhatFailed(t *testing.T) {
	dir := t.TempDir()
	s := newFiles(t, dir, 1<<30, time.Hour)
	deliver(t, s, "a1")
	if _, err := s.file.WriteAt([]byte(`{"id":"torn`), int64(len(document1("a1")))+1); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "a2")
	wantIDs(t, filepath.Join(dir, "*.part"), "a1", "a2")
}

// TestRefusedFile keeps the newest within its room, each with its reason.
func TestRefusedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consumers", "forward", "refused.jsonl")
	m := NewMetrics(nil)
	r := &Refused{Path: path, MaxBytes: 1000, Metrics: m, Logger: slog.New(slog.DiscardHandler)}
	if err := r.Put("http 400", items("a1")...); err != nil {
		t.Fatal(err)
	}
	if err := r.Put("not a published record", Item{Payload: []byte("junk\xff\n")}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"reason":"http 400","id":"a1","device_id":"35a","record":{"dev`) ||
		!strings.Contains(lines[1], `"text":"junk`) {
		t.Errorf("the file is\n%s", content)
	}
	for range 20 {
		if err := r.Put("again", items("a2")...); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 500 || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v %v", e.Name(), info, err)
		}
	}
	if refused, dropped := testutil.ToFloat64(m.refused), testutil.ToFloat64(m.dropped); refused != 22 || dropped < 1 {
		t.Errorf("%v refused and %v files removed are counted", refused, dropped)
	}
}
