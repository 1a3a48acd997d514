package source

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// lines is a value to read: the lines that are no comments.
type lines struct{ all []string }

func (l *lines) has(line string) bool { return slices.Contains(l.all, line) }

var errBroken = errors.New("broken")

// readLines fails at a line that says broken.
func readLines(ctx context.Context, r io.Reader) (*lines, error) {
	l := &lines{}
	err := Lines(ctx, r, func(number int, line []byte) error {
		if string(line) == errBroken.Error() {
			return fmt.Errorf("line %d: %w", number, errBroken)
		}
		l.all = append(l.all, string(line))
		return nil
	})
	return l, err
}

func newLinesFile(path string) *File[*lines] { return NewFile(path, readLines) }

// imei is the n-th of a fleet's.
func imei(n int) string { return fmt.Sprintf("%015d", 356307042000000+n) }

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
		_, err := newLinesFile(path).Read(context.Background(), false)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	missing := newLinesFile(filepath.Join(dir, "missing"))
	if _, err := missing.Read(context.Background(), false); !errors.Is(err, fs.ErrNotExist) {
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
	f := newLinesFile(path)
	read := func(force bool) *lines {
		t.Helper()
		s, err := f.Read(context.Background(), force)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	last := read(false)
	expect := func(what string, changed bool, force bool, id string) {
		t.Helper()
		next := read(force)
		if (next != last) != changed || !next.has(id) || len(next.all) != 1 {
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
		f := newLinesFile(path)
		if _, err := f.Read(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		touch(t, path, "")
		var half, whole *lines
		go func() { half, _ = f.Read(context.Background(), false); whole = half }()
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
		if whole == nil || len(whole.all) != 50 {
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
		f := newLinesFile(path)
		if _, err := f.Read(context.Background(), false); err != nil {
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
		if _, err := f.Read(ctx, false); !errors.Is(err, errChanging) || time.Since(start) > readTimeout {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
		writer.Wait()
	})
}

func TestFileStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newLinesFile(listFile(t, imei(1))).Read(ctx, false); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A file that is broken says so each time, and is not parsed each time. One that is broken only while it is written
// never is.
func TestFileThatIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, parsed := listFile(t, "a\nbroken\n"), 0
		f := NewFile(path, func(ctx context.Context, r io.Reader) (*lines, error) {
			parsed++
			return readLines(ctx, r)
		})
		at := func(d time.Duration) {
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		at(-time.Hour)
		for range 3 {
			if _, err := f.Read(t.Context(), false); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "line 2") {
				t.Errorf("error %v", err)
			}
		}
		if parsed != 1 {
			t.Errorf("parsed %d times", parsed)
		}
		write(t, path, "a\n")
		at(-time.Minute)
		if l, err := f.Read(t.Context(), false); err != nil || !l.has("a") {
			t.Errorf("mended: %v", err)
		}
		write(t, path, "b\nbroken\n")
		at(0)
		go func() {
			time.Sleep(fileSettle / 2)
			write(t, path, "b\nc\n")
			at(0)
		}()
		if l, err := f.Read(t.Context(), false); err != nil || !l.has("c") {
			t.Errorf("half written, then whole: %v", err)
		}
	})
}
