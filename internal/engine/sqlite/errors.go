package sqlite

import (
	"errors"
	"path/filepath"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

var (
	errMoved      = errors.New("the database file was removed or replaced while it was open")
	errMovedInUse = errors.New("the database file was removed or replaced " +
		"and another process still reads the old one: end it")
	errLowSpace = errors.New("too little free disk space")
)

// isBusy reports whether another client is all that is in the way.
func isBusy(err error) bool {
	return errors.Is(err, errMovedInUse) || sqlitefile.CauseOf(err) == sqlitefile.Locked
}

// classify says in the error what an operator should do and whether a retry can help then.
func classify(path string, err error) *engine.Error {
	cause := sqlitefile.CauseOf(err)
	if cause == sqlitefile.Unreadable {
		if free, known := freeSpace(filepath.Dir(path)); known && free < reserve {
			cause = sqlitefile.Full
		}
	}
	return &engine.Error{Transient: cause != sqlitefile.Mistake, Err: cause.Explain(path, err)}
}
