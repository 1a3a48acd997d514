package sqlitestore

import (
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

var errNotFinal = errors.New("this state is not final")

// classify says in the error what an operator should do. Unlike the engine the store does not notice that an open file
// has been moved away.
func classify(path string, err error) error {
	cause := sqlitefile.CauseOf(err)
	if cause == sqlitefile.Damaged {
		return fmt.Errorf("%s: damaged: stop the service and move the file and its -wal and -shm files away: %w", path, err)
	}
	return cause.Explain(path, err)
}
