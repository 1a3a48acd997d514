package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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

// TestFilesTakeOver completes what the process left whose turn it was, after this one had begun.
func TestFilesTakeOver(t *testing.T) {
	dir := t.TempDir()
	s := newFiles(t, dir, 1<<30, time.Hour)
	left := filepath.Join(dir, "forward-20261122T110000Z-00000000.jsonl")
	if err := os.WriteFile(left+".part", linesOf(items("a1")), 0o640); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "a2")
	wantIDs(t, left, "a1")
	wantIDs(t, filepath.Join(dir, "*.part"), "a2")
	if err := s.recover(left + ".part"); err != nil {
		t.Errorf("one that another process has completed meanwhile: %v", err)
	}
}

// TestFilesBesideOneThatStandsBy: one that starts may take a new file for one that was left, and remove it. Nothing is
// written into a file without a name.
func TestFilesBesideOneThatStandsBy(t *testing.T) {
	dir := t.TempDir()
	stop, ended := make(chan struct{}), make(chan error, 2)
	for range cap(ended) {
		go func() {
			for {
				if _, err := NewFiles(FilesOptions{
					Dir: dir, Prefix: "forward", Logger: slog.New(slog.DiscardHandler),
				}); err != nil {
					ended <- err
					return
				}
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
			}
		}()
	}
	s := newFiles(t, dir, 1, time.Hour) // a file for each batch
	var want []string
	for i := range 100 {
		id := fmt.Sprintf("a%03d", i)
		for s.Deliver(t.Context(), items(id)) != nil { // one that came too late is tried again
		}
		want = append(want, id)
	}
	close(stop)
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	got := slices.Sorted(slices.Values(idsIn(t, filepath.Join(dir, "*.jsonl"))))
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%d records of %d are in files that have a name", len(got), len(want))
	}
}

// TestFilesTakenWhileWritten: what is delivered after somebody removed or renamed the file goes into another one.
func TestFilesTakenWhileWritten(t *testing.T) {
	for name, take := range map[string]func(part string) error{
		"removed": os.Remove,
		"renamed": func(part string) error { return os.Rename(part, strings.TrimSuffix(part, endOpen)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newFiles(t, dir, 1<<30, time.Hour)
			for _, id := range []string{"a1", "a2"} {
				deliver(t, s, id)
				wantIDs(t, filepath.Join(dir, "*.part"), id)
				if err := take(s.file.Name()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestFilesWhoseNameIsNotDurable: a file is not written again after it has its name, though the disk failed then.
func TestFilesWhoseNameIsNotDurable(t *testing.T) {
	dir := t.TempDir()
	s := newFiles(t, dir, int64(2*len(document1("a1"))), time.Hour)
	sync := s.syncDir
	deliver(t, s, "a1")
	s.syncDir = func(string) error { return syscall.EIO }
	deliver(t, s, "a2")
	complete := filepath.Join(dir, "*.jsonl")
	wantIDs(t, complete, "a1", "a2")
	if err := s.Deliver(t.Context(), items("a3")); !errors.Is(err, syscall.EIO) {
		t.Errorf("a new file begins: %v", err)
	}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	s.syncDir = sync
	deliver(t, s, "a3")
	wantIDs(t, complete, "a1", "a2")
	wantIDs(t, filepath.Join(dir, "*.part"), "a3")
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
