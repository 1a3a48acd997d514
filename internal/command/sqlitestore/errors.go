package sqlitestore

import (
	"errors"
	"fmt"
	"syscall"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	errNewerSchema = errors.New("the database was made by a newer version of this program")
	errNotFinal    = errors.New("this state is not final")
)

// resultCode returns SQLite's primary result code, or SQLITE_OK for an error of another origin.
func resultCode(err error) int {
	var failed *modernc.Error
	if !errors.As(err, &failed) {
		return sqlite3.SQLITE_OK
	}
	return failed.Code() & 0xff
}

// isBusy reports whether another client's lock is all that is in the way.
func isBusy(err error) bool {
	code := resultCode(err)
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// classify says in the error what an operator should do.
func classify(path string, err error) error {
	remedy := ""
	switch code := resultCode(err); {
	case code == sqlite3.SQLITE_FULL, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		remedy = "the disk is full: free some space: "
	case code == sqlite3.SQLITE_BUSY, code == sqlite3.SQLITE_LOCKED:
		remedy = "another process holds the write lock: end its transaction: "
	case code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_PERM, code == sqlite3.SQLITE_AUTH:
		remedy = "not writable: give this user write access to the file and its directory: "
	case code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB:
		remedy = "damaged: stop the service and move the file and its -wal and -shm files away: "
	case code == sqlite3.SQLITE_IOERR, code == sqlite3.SQLITE_CANTOPEN:
		remedy = "cannot be read or written: check the directory, its permissions and the disk: "
	}
	return fmt.Errorf("%s: %s%w", path, remedy, err)
}
