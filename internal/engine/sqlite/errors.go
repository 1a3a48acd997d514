package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var (
	errNewerSchema = errors.New("the database was made by a newer version of this program")
	errMoved       = errors.New("the database file was removed or replaced while it was open")
	errMovedInUse  = errors.New("the database file was removed or replaced and another process still reads the old one: end it")
	errLowSpace    = errors.New("too little free disk space")
)

// resultCode returns SQLite's primary result code, or SQLITE_OK for an error of another origin.
func resultCode(err error) int {
	var failed *modernc.Error
	if !errors.As(err, &failed) {
		return sqlite3.SQLITE_OK
	}
	return failed.Code() & 0xff
}

// isBusy reports whether another client is all that is in the way.
func isBusy(err error) bool {
	if errors.Is(err, errMovedInUse) {
		return true
	}
	code := resultCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// classify says in the error what an operator should do and whether a retry can help then.
func classify(path string, err error) *engine.Error {
	remedy, transient := remedyFor(path, err)
	if remedy != "" {
		err = fmt.Errorf("%s: %s: %w", path, remedy, err)
	} else {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return &engine.Error{Transient: transient, Err: err}
}

func remedyFor(path string, err error) (remedy string, transient bool) {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return diskFull, true
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return notWritable, true
	}
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL:
		return diskFull, true
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process holds the write lock: end its transaction", true
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return notWritable, true
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "damaged: move the file and its -wal and -shm files away, a new one is made at once; " +
			"then recover the old one with sqlite3's .recover", true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		if free, known := freeSpace(filepath.Dir(path)); known && free < reserve {
			return diskFull, true
		}
		return "cannot be read or written: check the directory, its permissions and the disk", true
	case sqlite3.SQLITE_OK: // the operating system's or our own
		return "", !errors.Is(err, errNewerSchema)
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH,
		sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG:
		return "", false
	default:
		return "", true
	}
}

const (
	notWritable = "not writable: give this user write access to the file and its directory"
	diskFull    = "the disk is full: free some space or keep records for a shorter time"
)
