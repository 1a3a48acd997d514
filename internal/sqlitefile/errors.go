package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errNewerSchema = errors.New("the database was made by a newer version of this program")

// NewerSchema is the error of a file whose version, its user_version, is above the one that this program knows.
func NewerSchema(found, known int) error {
	return fmt.Errorf("%w: it has version %d, this program knows %d", errNewerSchema, found, known)
}

// Cause is why a database cannot be used.
type Cause int

// The causes. A retry can help with all but a mistake.
const (
	Unknown Cause = iota
	Mistake       // of a program: its SQL, or a file of a newer version
	Full
	Locked
	NotWritable
	Damaged
	Unreadable
)

var remedies = map[Cause]string{
	Full:        "the disk is full: free some space or keep records for a shorter time",
	Locked:      "another process holds the write lock: end its transaction",
	NotWritable: "not writable: give this user write access to the file and its directory",
	Damaged: "damaged: move the file and its -wal and -shm files away, a new one is made at once; " +
		"then recover the old one with sqlite3's .recover",
	Unreadable: "cannot be read or written: check the directory, its permissions and the disk",
}

// CauseOf finds the cause of a failure, SQLite's or the operating system's.
func CauseOf(err error) Cause {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return NotWritable
	case errors.Is(err, errNewerSchema):
		return Mistake
	}
	var failed *modernc.Error
	if !errors.As(err, &failed) {
		return Unknown
	}
	switch failed.Code() & 0xff { // the primary result code
	case sqlite3.SQLITE_FULL:
		return Full
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return Locked
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return NotWritable
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return Damaged
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return Unreadable
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH,
		sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG:
		return Mistake
	}
	return Unknown
}

// Explain says in the error which file it is about, and what an operator should do.
func (c Cause) Explain(path string, err error) error {
	if remedy := remedies[c]; remedy != "" {
		return fmt.Errorf("%s: %s: %w", path, remedy, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
