package sqlitestore

import (
	"context"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// steps make the file of version n one of version n+1. The version is kept in the file's user_version.
var steps = []string{schema, ages, rawResponses, lists, conditions}

// schema is what other programs read; columns are only ever added. Times are in ms since 1970 UTC. The tables are not
// STRICT, which SQLite clients before 3.37 refuse to open.
//
// run is the process that has the command in hand while it is sent, answers how many messages came for it, and heard
// and heard_as name the last of them and what it was. An event's size is its payload's, of which only the beginning is
// kept. In turns a device's row says whose answer its next message is, if it was received after since and before until.
const schema = `
CREATE TABLE commands (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, imei TEXT NOT NULL, codec INTEGER NOT NULL,
	payload TEXT NOT NULL, encoding TEXT NOT NULL, timeout_ms INTEGER NOT NULL,
	created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, idempotent INTEGER NOT NULL, confirm INTEGER NOT NULL,
	state TEXT NOT NULL, attempts INTEGER NOT NULL, sent_at INTEGER, deadline INTEGER,
	finished_at INTEGER, response TEXT, response_encoding TEXT, reason TEXT NOT NULL, instance TEXT NOT NULL,
	run TEXT NOT NULL, answers INTEGER NOT NULL DEFAULT 0,
	heard TEXT NOT NULL DEFAULT '', heard_as TEXT NOT NULL DEFAULT '');
CREATE INDEX commands_open ON commands (imei, seq) WHERE state IN ('queued', 'sent');
CREATE INDEX commands_queued ON commands (expires_at) WHERE state = 'queued';
CREATE INDEX commands_sent ON commands (deadline) WHERE state = 'sent';
CREATE INDEX commands_finished ON commands (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE turns (
	imei TEXT PRIMARY KEY, id TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, received_at INTEGER NOT NULL, imei TEXT NOT NULL, kind TEXT NOT NULL,
	command TEXT NOT NULL, codec INTEGER NOT NULL, type INTEGER NOT NULL, named TEXT NOT NULL, sent INTEGER NOT NULL,
	payload TEXT NOT NULL, encoding TEXT NOT NULL, size INTEGER NOT NULL);`

// ages notes since when a final command or an event has been kept, by the clock of package retention. A lease goes with
// its command.
const ages = retention.Schema + `
ALTER TABLE commands ADD COLUMN kept_since INTEGER;
ALTER TABLE events ADD COLUMN kept_since INTEGER;
DROP INDEX commands_finished;
CREATE INDEX commands_final ON commands (seq) WHERE finished_at IS NOT NULL AND kept_since IS NULL;
CREATE INDEX commands_kept ON commands (kept_since) WHERE kept_since IS NOT NULL;
CREATE INDEX events_new ON events (seq) WHERE kept_since IS NULL;
CREATE INDEX events_kept ON events (kept_since) WHERE kept_since IS NOT NULL;
DELETE FROM turns WHERE NOT EXISTS (SELECT 1 FROM commands WHERE commands.id = turns.id);
CREATE TRIGGER commands_turn AFTER DELETE ON commands BEGIN
	DELETE FROM turns WHERE imei = OLD.imei AND id = OLD.id; END;`

// rawResponses keeps the bytes of an answer, or of an event, beside its text, where they differ; see
// command.EncodeResponse.
const rawResponses = `
ALTER TABLE commands ADD COLUMN response_hex TEXT;
ALTER TABLE events ADD COLUMN payload_hex TEXT;`

// lists are for what is listed: the newest first, of a device or of all.
const lists = `
CREATE INDEX commands_of_device ON commands (imei, seq);
CREATE INDEX commands_newest_open ON commands (seq) WHERE state IN ('queued', 'sent');`

// conditions keeps what has to be true for a command to be sent, as condition.Parse reads it; empty for nothing. An
// earlier version, which would send the command all the same, does not open a file that has this column.
const conditions = `
ALTER TABLE commands ADD COLUMN only_if TEXT NOT NULL DEFAULT '';`

// transaction is what work is done in. Its errors are SQLite's.
type transaction struct{ *sqlitefile.Tx }

// transact runs work as one transaction. When ctx ends it leaves the work behind; so work uses only what never changes.
// Work that fails changes nothing.
func transact[T any](ctx context.Context, s *Store, work func(tx *transaction) (T, error)) (T, error) {
	return sqlitefile.Transact(ctx, s.database, func(tx *sqlitefile.Tx) (T, error) { return work(&transaction{tx}) })
}
