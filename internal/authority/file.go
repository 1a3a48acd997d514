package authority

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

const (
	// fileSettle is how long a changed file must have been left alone before it counts as wholly written.
	fileSettle = time.Second
	// maxFileBytes bounds the file.
	maxFileBytes = 1 << 30
)

var errChanging = errors.New("the file is being written; write another one and rename it")

// File is a list in a text file: one identifier a line. Blank lines, and what follows a #, are skipped. Lines that
// hold anything else are reported and do not spoil the others.
//
// The file is best replaced by renaming. One that is written in place is taken when it has not changed for a second.
type File struct {
	path   string
	settle time.Duration
	last   *set        // what was read last
	seen   fs.FileInfo // of which state of the file; nil if it may have changed at once afterwards
}

// NewFile returns the list in the file, which need not exist yet.
func NewFile(path string) *File { return &File{path: path, settle: fileSettle} }

// String implements Source.
func (f *File) String() string { return "file " + f.path }

// Close implements Source.
func (f *File) Close() error { return nil }

// read implements Source. A file that looks the same as before is not read again unless forced.
func (f *File) read(ctx context.Context, force bool) (*set, error) {
	for again := false; ; again = true {
		info, err := os.Stat(f.path)
		if err != nil {
			return nil, err
		}
		if !force && f.seen != nil && sameState(f.seen, info) {
			return f.last, nil
		}
		next, info, err := f.parse(ctx)
		if err == nil && f.last != nil {
			err = f.awaitSettled(ctx, info)
		}
		switch {
		case err == nil:
			f.last, f.seen = next, nil
			if age := time.Since(info.ModTime()); age > f.settle {
				f.seen = info
			}
			return next, nil
		case again && ctx.Err() != nil:
			return nil, errChanging // which is why the time was not enough
		case !errors.Is(err, errChanging):
			return nil, err
		}
		if !backoff.Pause(ctx, f.settle) {
			return nil, err
		}
	}
}

// awaitSettled waits until the file has been left alone for long enough, and fails if it has not.
func (f *File) awaitSettled(ctx context.Context, info fs.FileInfo) error {
	age := time.Since(info.ModTime())
	if age > f.settle {
		return nil
	}
	if !backoff.Pause(ctx, min(f.settle, f.settle-age)) {
		return errChanging
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if !sameState(info, now) {
		return errChanging
	}
	return nil
}

// parse reads the file, in one state of it.
func (f *File) parse(ctx context.Context) (*set, fs.FileInfo, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	if info.Size() > maxFileBytes {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", f.path, maxFileBytes)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	list, err := parseLines(ctx, io.LimitReader(file, info.Size()))
	if err != nil {
		return nil, nil, err
	}
	after, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !sameState(info, after) {
		return nil, nil, errChanging
	}
	return list, info, nil
}

// sameState reports whether nobody has written between the two, as far as one can see.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// longestLine is the most that is looked at of a line. A longer one can hold an identifier only before a comment.
const longestLine = 4096

func parseLines(ctx context.Context, r io.Reader) (*set, error) {
	var b builder
	lines := bufio.NewReaderSize(r, longestLine)
	for number := 1; ; number++ {
		line, long, err := lines.ReadLine()
		if err == io.EOF {
			return b.build(), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if err := addLine(&b, line, number); err != nil {
			return nil, err
		}
		for long && err == nil {
			_, long, err = lines.ReadLine()
		}
	}
}

func addLine(b *builder, line []byte, number int) error {
	id, _, _ := bytes.Cut(line, []byte("#"))
	id = bytes.TrimSpace(id)
	if len(id) == 0 {
		return nil
	}
	err := add(b, id)
	if errors.Is(err, errNotIdentifier) {
		b.skipped.add("line " + strconv.Itoa(number))
		return nil
	}
	return err
}
