package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
func quick(path string) *File {
	f := NewFile(path)
	f.settle = 10 * time.Millisecond
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
		{name: "blanks and comments", content: "# fleet\n  " + imei(1) + " # truck 7\n" + imei(2) + "#\n\t" + imei(3) + "\t\n", size: 3},
		{name: "twice", content: imei(1) + "\n" + imei(1) + "\n", size: 1},
		{name: "other identifiers", content: "Tracker7\n123\n" + imei(1), size: 3},
		{name: "bad lines", content: "imei;truck\n" + imei(1) + "\n35 630704 244101 3\n" + imei(2) + "\n\x00\n", size: 2, skipped: 3,
			first: []string{"line 1", "line 3", "line 5"}},
		{name: "long lines", content: strings.Repeat("9", 65) + "\n" + imei(1) + "#" + strings.Repeat("x", 10_000) + "\n" +
			strings.Repeat("y", 100_000) + "\n" + imei(2), size: 2, skipped: 2, first: []string{"line 1", "line 3"}},
		{name: "many bad lines", content: strings.Repeat("?\n", 1000) + imei(1), size: 1, skipped: 1000,
			first: []string{"line 1", "line 2", "line 3", "line 4", "line 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewFile(listFile(t, c.content)).read(context.Background(), false)
			if err != nil {
				t.Fatal(err)
			}
			if s.size() != c.size || s.skipped.count != c.skipped || !slices.Equal(s.skipped.first, c.first) {
				t.Errorf("%d devices, skipped %+v, want %d and %d %v", s.size(), s.skipped, c.size, c.skipped, c.first)
			}
		})
	}
}

func TestFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	write(t, large, "")
	if err := os.Truncate(large, maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, large, filepath.Join(dir, "missing")} {
		if _, err := NewFile(path).read(context.Background(), false); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	if _, err := NewFile(filepath.Join(dir, "missing")).read(context.Background(), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// A file that nobody has touched is not read again; any trace of a change is enough.
func TestFileIsReadWhenItChanges(t *testing.T) {
	path := listFile(t, imei(1))
	hourAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	age := func(d time.Duration) {
		if err := os.Chtimes(path, time.Time{}, hourAgo.Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	age(0)
	f := NewFile(path)
	read := func(force bool) *set {
		t.Helper()
		s, err := f.read(context.Background(), force)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	last := read(false)
	expect := func(what string, changed bool, force bool, id string) {
		t.Helper()
		next := read(force)
		if (next != last) != changed || !next.has(id) || next.size() != 1 {
			t.Errorf("%s: read again: %v", what, next != last)
		}
		last = next
	}
	expect("nothing", false, false, imei(1))
	expect("forced", true, true, imei(1))
	write(t, path, imei(2))
	age(time.Minute)
	expect("time", true, false, imei(2))
	write(t, path, imei(3)+"\n")
	age(time.Minute)
	expect("size", true, false, imei(3))
	replace(t, path, imei(4)+"\n")
	age(time.Minute)
	expect("another file of the same size and time", true, false, imei(4))
	expect("nothing again", false, false, imei(4))
}

// While a file is written in place, half of it must not be taken for the list.
func TestFileThatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := listFile(t, imei(1)+"\n"+imei(2)+"\n")
		f := NewFile(path)
		if _, err := f.read(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		touch(t, path, "")
		var half, whole *set
		go func() { half, _ = f.read(context.Background(), false); whole = half }()
		for i := range 50 { // a line every 200 ms
			synctest.Wait()
			if half != nil {
				t.Fatalf("taken after %d lines", i)
			}
			touch(t, path, imei(i)+"\n")
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if whole == nil || whole.size() != 50 {
			t.Errorf("read %v", whole)
		}
	})
}

// touch appends and sets the file's time to the bubble's.
func touch(t testing.TB, path, line string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if line == "" {
		err = file.Truncate(0)
	} else {
		_, err = file.WriteString(line)
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// One that never rests is given up in bounded time.
func TestFileThatIsWrittenWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := listFile(t, imei(1))
		f := NewFile(path)
		if _, err := f.read(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		var writer sync.WaitGroup
		writer.Go(func() {
			for ctx.Err() == nil {
				touch(t, path, "#\n")
				time.Sleep(500 * time.Millisecond)
			}
		})
		start := time.Now()
		if _, err := f.read(ctx, false); !errors.Is(err, errChanging) || time.Since(start) > readTimeout {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		writer.Wait()
	})
}

func TestFileStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewFile(listFile(t, imei(1))).read(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
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
		f.last, f.seen = nil, nil
		if s, err := f.read(context.Background(), true); err != nil || s.size() != million {
			b.Fatal(err)
		}
	}
}
