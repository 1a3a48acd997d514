package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// SQLSTATEs and classes of them; see PostgreSQL's appendix A.
const (
	stateDiskFull       = "53100"
	stateUndefinedTable = "42P01"
)

// permanent are the classes of refusals that no repetition cures: somebody has to change a setting, a right, or the
// tables.
var permanent = []string{
	"28", // the user or its password
	"3D", // no such database
	"42", // a right, a table, a column
	"0A", // not supported
}

// refusesItem are the refusals of what an item holds, which say nothing of the other items. A constraint (23) is not
// the engine's: somebody has made it, or a partition is wrong, and no item must be lost by that.
var refusesItem = []string{
	"22",    // a character that the server does not take, no document at all
	"54000", // larger than the server takes
}

// sqlState is the server's word for an error, "" if the server did not say it.
func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

func inClass(state string, classes []string) bool {
	for _, class := range classes {
		if strings.HasPrefix(state, class) {
			return true
		}
	}
	return false
}

// isMissing reports whether a table is not there.
func isMissing(err error) bool { return sqlState(err) == stateUndefinedTable }

// isDataError reports whether the server refuses what an item holds.
func isDataError(err error) bool { return inClass(sqlState(err), refusesItem) }

// classify makes any failure of what has written nothing an *engine.Error.
func classify(err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return known
	}
	state := sqlState(err)
	lasting := inClass(state, permanent) && state != stateUndefinedTable || isDataError(err)
	return &engine.Error{Transient: !lasting, Err: fmt.Errorf("postgres: %w", err)}
}

// classifyWrite is classify for what may have written something. The server's own refusal says that it has not; an
// error of severity FATAL may come after the transaction was committed.
func classifyWrite(err error) *engine.Error {
	failed := classify(err)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Severity != "ERROR" && refused.SeverityUnlocalized != "ERROR" {
		failed = &engine.Error{Transient: true, Ambiguous: true, Err: failed.Err}
	}
	return failed
}
