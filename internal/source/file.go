package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// File is a value in a file.
//
// The file is best replaced by renaming. One that is written in place is taken when it has not changed for a second.
type File[T any] struct {
	Settle time.Duration // for how long a changed file must have been left alone before it counts as wholly written

	path  string
	parse func(ctx context.Context, r io.Reader) (T, error)
	last  T           // what was read last
	err   error       // or why that could not be parsed
	read  bool        // something could
	seen  fs.FileInfo // of which state of the file; nil if it may have changed at once afterwards
}

// NewFile returns what parse reads from the file, which need not exist yet.
func NewFile[T any](path string, parse func(ctx context.Context, r io.Reader) (T, error)) *File[T] {
	return &File[T]{Settle: fileSettle, path: path, parse: parse}
}

// String implements Source.
func (f *File[T]) String() string { return "file " + f.path }

// Close implements Source.
func (f *File[T]) Close() error { return nil }

// Read implements Source. A file that looks the same as before is not read again unless forced.
func (f *File[T]) Read(ctx context.Context, force bool) (none T, err error) {
	for again := false; ; again = true {
		info, err := os.Stat(f.path)
		if err != nil {
			return none, err
		}
		if !force && f.seen != nil && sameState(f.seen, info) {
			return f.last, f.err
		}
		next, info, err := f.readOnce(ctx)
		if info != nil && f.read { // one that is broken may be so only because it is half written
			if changing := f.awaitSettled(ctx, info); changing != nil {
				err = changing
			}
		}
		switch {
		case again && ctx.Err() != nil:
			return none, errChanging // which is why the time was not enough
		case !errors.Is(err, errChanging):
			return next, f.note(next, info, err)
		}
		if !backoff.Pause(ctx, f.Settle) {
			return none, err
		}
	}
}

// note keeps in mind what the file was found to hold, and returns err.
func (f *File[T]) note(value T, info fs.FileInfo, err error) error {
	f.seen = nil
	if info == nil {
		return err // it could not be read
	}
	f.last, f.err, f.read = value, err, f.read || err == nil
	if time.Since(info.ModTime()) > f.Settle {
		f.seen = info
	}
	return err
}

// awaitSettled waits until the file has been left alone for long enough, and fails if it has not.
func (f *File[T]) awaitSettled(ctx context.Context, info fs.FileInfo) error {
	age := time.Since(info.ModTime())
	if age > f.Settle {
		return nil
	}
	if !backoff.Pause(ctx, min(f.Settle, f.Settle-age)) {
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

// readOnce reads the file, in one state of it. info is nil if it could not be read.
func (f *File[T]) readOnce(ctx context.Context) (none T, info fs.FileInfo, err error) {
	if info, err = os.Stat(f.path); err != nil {
		return none, nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return none, nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	if info.Size() > maxFileBytes {
		return none, nil, fmt.Errorf("%s has more than %d bytes", f.path, maxFileBytes)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return none, nil, err
	}
	defer file.Close()
	value, err := f.parse(ctx, io.LimitReader(file, info.Size()))
	if ctx.Err() != nil {
		return none, nil, ctx.Err()
	}
	after, statErr := file.Stat()
	switch {
	case statErr != nil:
		return none, nil, statErr
	case !sameState(info, after):
		return none, nil, errChanging
	case err != nil:
		return none, info, err
	}
	return value, info, nil
}

// sameState reports whether nobody has written between the two, as far as one can see.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
