package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// schemaVersion is kept in ingestion_state.
const schemaVersion = 1

// Keys of advisory locks, of which the database has one name space: the first number says that it is ours.
const (
	lockClass    = 0x74637069 // "tcpi"
	lockSchema   = 1          // who holds it changes the tables
	lockCaretake = 2          // who holds it makes and drops partitions
)

// schema is what other programs read, and what they may rely on: columns are only ever added. A record is unique by
// what its id is made of, which is also the index by device. seq is given once, also after a failover, and is the order
// in which a device's records were stored. It makes what is missing, whatever is there.
const schema = `
CREATE SEQUENCE IF NOT EXISTS records_seq;
CREATE TABLE IF NOT EXISTS records (
	seq bigint NOT NULL DEFAULT nextval('records_seq'), id text COLLATE "C" NOT NULL, device_id text COLLATE "C" NOT NULL,
	ts bigint NOT NULL, hash bigint NOT NULL, codec text COLLATE "C" NOT NULL, payload jsonb NOT NULL,
	UNIQUE (device_id, ts, hash)) PARTITION BY RANGE (ts);
CREATE INDEX IF NOT EXISTS records_by_seq ON records (seq);
CREATE TABLE IF NOT EXISTS records_other PARTITION OF records DEFAULT;

CREATE TABLE IF NOT EXISTS dead_letters (
	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ts bigint NOT NULL, device_id text COLLATE "C" NOT NULL,
	reason text NOT NULL, codec text NOT NULL, frame text NOT NULL, transport text NOT NULL, known boolean NOT NULL,
	item text COLLATE "C" UNIQUE, bytes bigint GENERATED ALWAYS AS (octet_length(frame) + 128) STORED);
CREATE INDEX IF NOT EXISTS dead_letters_by_device ON dead_letters (device_id);
CREATE INDEX IF NOT EXISTS dead_letters_to_go ON dead_letters (known, seq);
CREATE TABLE IF NOT EXISTS messages (
	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ts bigint NOT NULL, device_id text COLLATE "C" NOT NULL,
	codec text NOT NULL, type smallint NOT NULL, sent bigint, payload text NOT NULL,
	item text COLLATE "C" UNIQUE, bytes bigint GENERATED ALWAYS AS (octet_length(payload) + 128) STORED);
CREATE INDEX IF NOT EXISTS messages_by_device ON messages (device_id, ts);
` + totals + clock + consumers + bounds + partitions + views

// totals keep how many bytes the dead letters and the messages take, and how often some were removed, whoever adds and
// removes them; readers sum them. A transaction locks its row until it is committed, so each writer has its own, or
// shares it with few. proofs are written to find out whether the server stores.
const totals = `
CREATE TABLE IF NOT EXISTS ingestion_totals (
	kind text, slot int, bytes bigint NOT NULL DEFAULT 0, removals bigint NOT NULL DEFAULT 0, PRIMARY KEY (kind, slot));
INSERT INTO ingestion_totals (kind, slot) SELECT k, n FROM generate_series(0, 15) AS n,
	(VALUES ('dead_letters'), ('messages')) AS v (k) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS ingestion_proofs (slot int PRIMARY KEY, proven bigint NOT NULL);
CREATE OR REPLACE FUNCTION ingestion_added() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE more bigint := (SELECT sum(bytes) FROM added);
BEGIN
	IF more > 0 THEN
		UPDATE ingestion_totals SET bytes = bytes + more WHERE kind = TG_TABLE_NAME AND slot = pg_backend_pid() % 16;
	END IF;
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ingestion_removed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE less bigint := (SELECT sum(bytes) FROM removed);
BEGIN
	IF less > 0 THEN
		UPDATE ingestion_totals SET bytes = bytes - less, removals = removals + 1
			WHERE kind = TG_TABLE_NAME AND slot = pg_backend_pid() % 16;
	END IF;
	RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ingestion_emptied() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
	UPDATE ingestion_totals SET bytes = 0, removals = removals + 1 WHERE kind = TG_TABLE_NAME;
	RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER added AFTER INSERT ON dead_letters REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_added();
CREATE OR REPLACE TRIGGER removed AFTER DELETE ON dead_letters REFERENCING OLD TABLE AS removed
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_removed();
CREATE OR REPLACE TRIGGER emptied AFTER TRUNCATE ON dead_letters
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_emptied();
CREATE OR REPLACE TRIGGER added AFTER INSERT ON messages REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_added();
CREATE OR REPLACE TRIGGER removed AFTER DELETE ON messages REFERENCING OLD TABLE AS removed
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_removed();
CREATE OR REPLACE TRIGGER emptied AFTER TRUNCATE ON messages
	FOR EACH STATEMENT EXECUTE FUNCTION ingestion_emptied();`

// state has the version, and the history of the server that gave the last numbers.
const state = `
CREATE TABLE IF NOT EXISTS ingestion_state (
	one boolean PRIMARY KEY DEFAULT true CHECK (one), version int NOT NULL, history text NOT NULL);`

// views are what other programs may read beside the tables: a row for each signal of each record.
const views = `
CREATE OR REPLACE VIEW signals AS
SELECT r.device_id, r.ts, to_timestamp(r.ts / 1000.0) AS time, s.key AS name,
	CASE jsonb_typeof(s.value) WHEN 'number' THEN (s.value #>> '{}')::double precision
		WHEN 'boolean' THEN (s.value = 'true')::int END AS num,
	CASE WHEN jsonb_typeof(s.value) IN ('string', 'array') THEN s.value #>> '{}' END AS txt
FROM records AS r, jsonb_each(r.payload -> 'signals') AS s;`

// readState is the version and the history that the tables have, and the history that the server has now: which
// cluster it is, and its timeline, which is another one after each failover or restore.
const readState = `SELECT version, history, (SELECT system_identifier FROM pg_control_system()) || '/' ||
	left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM ingestion_state`

// numbersLost is more numbers than a server can have given that its successor does not know of.
const numbersLost = 1_000_000_000

// prepareSchema makes the tables, or brings them up to date. Whichever process comes first does it, under a lock.
func (e *Engine) prepareSchema(ctx context.Context, c *pgconn.PgConn) error {
	row, err := ask(ctx, c, readState)
	if current, wrong := isCurrent(row); err == nil && (current || wrong != nil) {
		return wrong
	}
	if err != nil && !isMissing(err) {
		return err
	}
	return e.migrate(ctx, c)
}

// isCurrent reports whether there is nothing to do.
func isCurrent(row []string) (bool, error) {
	if row == nil {
		return false, nil
	}
	version, err := strconv.Atoi(row[0])
	if err == nil && version > schemaVersion {
		err = &engine.Error{Err: fmt.Errorf(
			"the tables are of version %d, and this program knows %d: use a newer one", version, schemaVersion)}
	}
	return version == schemaVersion && row[1] == row[2], err
}

// migrate is one transaction.
func (e *Engine) migrate(ctx context.Context, c *pgconn.PgConn) error {
	err := e.changeSchema(ctx, c)
	if err == nil {
		return nil
	}
	_, undo := c.Exec(ctx, "ROLLBACK").ReadAll()
	return errors.Join(err, undo)
}

func (e *Engine) changeSchema(ctx context.Context, c *pgconn.PgConn) error {
	_, err := c.Exec(ctx, fmt.Sprintf("SET client_min_messages = warning; BEGIN; SELECT pg_advisory_xact_lock(%d, %d); %s",
		lockClass, lockSchema, state)).ReadAll()
	if err != nil {
		return err
	}
	row, err := ask(ctx, c, readState)
	if err != nil {
		return err
	}
	current, err := isCurrent(row)
	if err != nil {
		return err
	}
	if !current {
		if err := e.makeTables(ctx, c, row); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, fmt.Sprintf(renew, schemaVersion, jumpFor(row))).ReadAll(); err != nil {
			return err
		}
		e.log.Info("tables made or brought up to date", "version", schemaVersion)
	}
	_, err = c.Exec(ctx, "COMMIT").ReadAll()
	return err
}

// makeTables makes what is missing, which is nothing where only the server's history is another one. Partitions are
// made with the first tables, which are empty; later they are the caretaker's, for nobody stores until this is done.
func (e *Engine) makeTables(ctx context.Context, c *pgconn.PgConn, row []string) error {
	statements := schema
	switch {
	case row == nil:
		statements += e.makePartitions(2 * maxPartitions)
	case row[0] == strconv.Itoa(schemaVersion):
		return nil
	}
	_, err := c.Exec(ctx, statements).ReadAll()
	return err
}

// renew notes the version and the history. After a failover or a restore the numbers go on far above those that the
// old server may have given last, so that none is given twice and no reader is ahead of what is stored.
const renew = `INSERT INTO ingestion_state (version, history) SELECT %[1]d,
	(SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
	ON CONFLICT (one) DO UPDATE SET version = excluded.version, history = excluded.history;
SELECT setval(s::regclass, nextval(s::regclass) + %[2]d) FROM (VALUES ('records_seq'),
	(pg_get_serial_sequence('dead_letters', 'seq')), (pg_get_serial_sequence('messages', 'seq'))) AS v(s)
	WHERE %[2]d > 0`

func jumpFor(row []string) int64 {
	if row == nil || row[1] == row[2] {
		return 0
	}
	return numbersLost
}
