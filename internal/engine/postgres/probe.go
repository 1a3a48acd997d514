package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// probePatience is how long Probe waits for the server's commit.
const probePatience = 2500 * time.Millisecond

// countedRecords is up to how many records are counted; of more the server's own estimate is told.
const countedRecords = 100_000

var errNoStandby = errors.New("no synchronous standby is connected, so the server confirms nothing: " +
	"start one, or take it out of synchronous_standby_names")

// Probe writes a row of the engine's own, which only a server can that would store a record: one that is not read-only,
// whose standby answers, and whose disk works. After a full disk it writes new pages as well.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	c, err := e.pool.Acquire(ctx)
	if err != nil {
		return engine.Status{}, classify(err)
	}
	defer c.Release()
	status, err := e.status(ctx, c)
	if err == nil {
		err = e.wouldStore(ctx, c)
	}
	if err != nil {
		return status, classify(err)
	}
	return status, nil
}

// figures are the counts of a Status. The estimate is the server's, of all partitions; it is taken where to count would
// take long.
const figures = `SELECT (SELECT sum(bytes)::bigint FROM ingestion_totals WHERE kind = 'dead_letters'),
	(SELECT sum(bytes)::bigint FROM ingestion_totals WHERE kind = 'messages'),
	CASE WHEN estimate > $1 THEN estimate ELSE (SELECT count(*) FROM (SELECT FROM records LIMIT $1 + 1) AS counted) END
	FROM (SELECT sum(greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)))::bigint AS estimate
		FROM pg_partition_tree('records') AS p JOIN pg_class AS c ON c.oid = p.relid WHERE p.isleaf) AS e`

func (e *Engine) status(ctx context.Context, c *pgxpool.Conn) (engine.Status, error) {
	s := engine.Status{
		DeadLetterLimit: e.opt.DeadLetterMaxBytes, MessageLimit: e.opt.MessageMaxBytes,
		MessagesRemoved: e.rooms[engine.KindMessage].removed.Load(),
	}
	err := c.QueryRow(ctx, figures, countedRecords).Scan(&s.DeadLetterBytes, &s.MessageBytes, &s.Length)
	s.Known = err == nil
	return s, err
}

// missingStandby reports whether commits wait for a standby of which there is none. Whoever may not see the standbys
// finds out by waiting.
const missingStandby = `SELECT current_setting('synchronous_standby_names') <> ''
	AND current_setting('synchronous_commit') NOT IN ('off', 'local')
	AND pg_has_role('pg_read_all_stats', 'USAGE')
	AND NOT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))`

func (e *Engine) wouldStore(ctx context.Context, c *pgxpool.Conn) error {
	if err := e.keepsDurability(ctx, c); err != nil {
		return err
	}
	var missing bool
	if err := c.QueryRow(ctx, missingStandby).Scan(&missing); err != nil {
		return err
	}
	if missing {
		return &engine.Error{Transient: true, Err: errNoStandby}
	}
	if _, err := c.Exec(ctx, proof); err != nil {
		return unconfirmed(err)
	}
	if e.full.Load() {
		if _, err := c.Exec(ctx, proofOfSpace); err != nil {
			return unconfirmed(err)
		}
		e.full.Store(false)
	}
	return nil
}

// proofOfSpace makes a file of new pages and removes it, in one transaction.
const proofOfSpace = `DO $$ BEGIN
	CREATE TEMPORARY TABLE ingestion_space ON COMMIT DROP AS
		SELECT repeat(md5(n::text), 30) AS line FROM generate_series(1, 300) AS n;
END $$`

// unconfirmed says of an error that is none of the server's what it most often means.
func unconfirmed(err error) error {
	if sqlState(err) != "" {
		return err
	}
	return fmt.Errorf("the server does not confirm a commit, a standby is missing or its disk hangs: %w", err)
}

// keepsDurability looks at what has been set at the server.
func (e *Engine) keepsDurability(ctx context.Context, c *pgxpool.Conn) error {
	if e.opt.Durability != Replica {
		return nil
	}
	var commit, standbys string
	if err := c.QueryRow(ctx, showDurability).Scan(&commit, &standbys); err != nil {
		return err
	}
	return e.opt.Durability.check(commit, standbys)
}

// check compares the durability with the server's settings.
func (d Durability) check(commit, standbys string) error {
	if d == Replica && (standbys == "" || commit != "on" && commit != "remote_apply") {
		return &engine.Error{Transient: true, Err: fmt.Errorf("%w: POSTGRES_DURABILITY is replica, but "+
			"synchronous_standby_names is %q and synchronous_commit is %s: set a synchronous standby, or "+
			"POSTGRES_DURABILITY to commit", engine.ErrDurability, standbys, commit)}
	}
	return nil
}
