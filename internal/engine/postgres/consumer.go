package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// consumers are how far the groups are. expired are the records that were dropped before a group had read them.
const consumers = `
CREATE TABLE IF NOT EXISTS consumers (
	name text PRIMARY KEY, seq bigint NOT NULL DEFAULT 0, expired bigint NOT NULL DEFAULT 0, committed_at timestamptz);`

const (
	holdsLong  = 10 * time.Second // how long an open transaction may hold up a group before the log says so
	holdsEvery = 10 * time.Minute // how often it says so

	lockConsumer = 0x74637063 // the class of the locks of groups; the second number is the name's hash

	takeTurn   = "SELECT pg_try_advisory_lock($1, hashtext($2))"
	joinGroup  = "INSERT INTO consumers (name) VALUES ($1) ON CONFLICT DO NOTHING"
	groupIsAt  = "SELECT seq, expired FROM consumers WHERE name = $1"
	commitUpTo = "UPDATE consumers SET seq = $2, committed_at = now() WHERE name = $1"

	// behind counts the records behind a seq, up to a bound.
	behind = "SELECT count(*) FROM (SELECT FROM records WHERE seq > $1 LIMIT $2) AS r"
	oldest = "SELECT payload ->> 'received_at' FROM records WHERE seq > $1 ORDER BY seq LIMIT 1"
)

var errHeld = errors.New("a transaction is open")

// Consumer makes a member of the group. Whose turn it is has the group's lock, which the server holds for a connection.
func (e *Engine) Consumer(_ context.Context, group string) (engine.Consumer, error) {
	if !engine.ValidGroup(group) {
		return nil, &engine.Error{Err: fmt.Errorf("%q is no name of a group", group)}
	}
	return &consumer{e: e, group: group, horizon: horizon{numbering: recordNumbers},
		held: health.Health{Every: holdsEvery}}, nil
}

// consumer reads behind its position, a few times a second, as a tail does. It commits by the connection that has the
// lock, so that it cannot commit when its turn is over.
type consumer struct {
	e     *Engine
	group string
	conn  *pgx.Conn // nil before it is used, and after a failure
	turn  bool      // the connection has the lock

	horizon horizon
	held    health.Health // of the horizon

	mu               sync.Mutex // Lag looks beside the others
	given, committed int64
	reads            bool // it has had its turn
}

// Next takes the turn first, if it can be had.
func (c *consumer) Next(ctx context.Context, n int, wait time.Duration) ([][]byte, error) {
	deadline := time.Now().Add(wait)
	for {
		payloads, err := c.look(ctx, n, deadline)
		waits := err == nil && len(payloads) == 0 || errors.Is(err, engine.ErrTurn)
		left := time.Until(deadline)
		if !waits || left <= 0 {
			return payloads, err
		}
		if !backoff.Pause(ctx, min(left, tailInterval)) {
			return nil, ctx.Err()
		}
	}
}

// look gives what is there now. What has been settled before is given without a look at who writes.
func (c *consumer) look(ctx context.Context, n int, deadline time.Time) ([][]byte, error) {
	if err := c.take(ctx); err != nil {
		return nil, c.failed(ctx, err)
	}
	rows, err := c.read(ctx, n)
	if err == nil && len(rows) == 0 {
		if err = c.horizon.await(ctx, c.conn, deadline); err == nil {
			c.tellWho(ctx)
			rows, err = c.read(ctx, n)
		}
	}
	if err != nil || len(rows) == 0 {
		return nil, c.failed(ctx, err)
	}
	payloads := make([][]byte, len(rows))
	for i, r := range rows {
		payloads[i] = r.payload
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given = rows[len(rows)-1].seq
	return payloads, nil
}

func (c *consumer) read(ctx context.Context, n int) ([]row, error) {
	if c.horizon.settled <= c.given {
		return nil, nil
	}
	found, err := c.conn.Query(ctx, selectRecords, c.given, c.horizon.settled, n)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, scanRow)
}

// tellWho logs who has held up the group for long.
func (c *consumer) tellWho(ctx context.Context) {
	if !c.horizon.waits() {
		c.held.Worked()
		return
	}
	lasted := time.Since(c.horizon.since)
	if lasted < holdsLong {
		return
	}
	if _, due := c.held.Failed(errHeld); due {
		c.e.log.Warn("new records are not read: a transaction that writes to their table is open", "group", c.group,
			"after", lasted.Round(time.Second), "error", "it is of process "+c.horizon.who(ctx, c.conn))
	}
}

// failed lets go of a turn whose connection may not be as it was, and returns the error as the contract wants it.
func (c *consumer) failed(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, engine.ErrTurn) {
		return err
	}
	c.letGo()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return classify(err)
}

func (c *consumer) letGo() {
	hangUp(c.conn)
	c.conn, c.turn = nil, false
	c.horizon = horizon{numbering: recordNumbers} // the next server may not know whom this one waits for
}

// take takes the turn. Where another member has committed meanwhile, what was given before is its matter.
func (c *consumer) take(ctx context.Context) error {
	if c.turn {
		return nil
	}
	if c.conn == nil {
		conn, err := c.e.dial(ctx)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	if err := c.conn.QueryRow(ctx, takeTurn, lockConsumer, c.group).Scan(&c.turn); err != nil {
		return err
	}
	if !c.turn {
		c.reads = false // what was given before is the other's: this one begins anew where the group is then
		return &engine.Error{Transient: true, Err: engine.ErrTurn}
	}
	if _, err := c.conn.Exec(ctx, joinGroup, c.group); err != nil {
		return err
	}
	var at, gone int64
	if err := c.conn.QueryRow(ctx, groupIsAt, c.group).Scan(&at, &gone); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reads || at != c.committed {
		c.given, c.committed, c.reads = at, at, true
	}
	return nil
}

// Commit moves the group to the last record given.
func (c *consumer) Commit(ctx context.Context) error {
	if !c.reads {
		return nil
	}
	upTo := c.given
	if err := c.take(ctx); err != nil {
		return c.failed(ctx, err)
	}
	if c.given != upTo {
		return &engine.Error{Transient: true, Err: engine.ErrTurn}
	}
	if upTo == c.committed {
		return nil
	}
	if _, err := c.conn.Exec(ctx, commitUpTo, c.group, upTo); err != nil {
		return c.failed(ctx, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.committed = upTo
	return nil
}

// Holds asks by the connection that has the lock. It is taken again if the connection is lost and nobody has it.
func (c *consumer) Holds(ctx context.Context) error {
	given, read := c.given, c.reads
	err := c.take(ctx)
	if err == nil {
		err = c.conn.Ping(ctx)
	}
	if err != nil {
		return c.failed(ctx, err)
	}
	if read && c.given != given {
		return &engine.Error{Transient: true, Err: engine.ErrTurn}
	}
	return nil
}

// Lag counts what is behind the positions, up to a bound. The oldest record's age is told by its received_at.
func (c *consumer) Lag(ctx context.Context) (g engine.Group, err error) {
	c.mu.Lock()
	given := c.given
	c.mu.Unlock()
	err = c.e.with(ctx, func(conn *pgxpool.Conn) error {
		var committed int64
		err := conn.QueryRow(ctx, groupIsAt, c.group).Scan(&committed, &g.Expired)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := conn.QueryRow(ctx, behind, max(given, committed), countedRecords).Scan(&g.Lag); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, behind, committed, countedRecords).Scan(&g.Unread); err != nil || g.Unread == 0 {
			return err
		}
		var received *string
		err = conn.QueryRow(ctx, oldest, committed).Scan(&received)
		g.Oldest = age(received)
		return err
	})
	return g, err
}

// age is how long ago that was, -1 if it is no time.
func age(received *string) time.Duration {
	if received == nil {
		return -1
	}
	at, err := time.Parse(time.RFC3339, *received)
	if err != nil {
		return -1
	}
	return max(time.Millisecond, time.Since(at))
}

// Close leaves the position as it was committed last.
func (c *consumer) Close() error {
	c.letGo()
	return nil
}
