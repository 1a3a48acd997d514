package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// consumersDir is the directory, beside the database, that has a directory for each group of consumers: its position,
// and by a lock on it whose turn it is. The database itself is not written.
const consumersDir = "consumers"

const (
	consumerRecords = "SELECT seq, id, payload FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
	consumerAt      = "SELECT id FROM records WHERE seq = ?"
	consumerOldest  = "SELECT payload FROM records WHERE seq > ? ORDER BY seq LIMIT 1"
)

// Consumer makes a member of the group, whose turn it is once it has the lock of the group's directory.
func (e *Engine) Consumer(_ context.Context, group string) (engine.Consumer, error) {
	if !engine.ValidGroup(group) {
		return nil, &engine.Error{Err: fmt.Errorf("%q is no name of a group", group)}
	}
	return &consumer{e: e, dir: filepath.Join(filepath.Dir(e.path), consumersDir, group)}, nil
}

// consumer reads behind its position, a few times a second, as a tail does.
type consumer struct {
	e    *Engine
	dir  string
	turn *os.File // the lock; nil while it is another member's turn

	mu               sync.Mutex // Lag looks beside the others
	given, committed position
	replace          int // which of the files that were at the path the positions are of; see writer
	expired          int64
}

// Next takes the turn first, if it can be had.
func (c *consumer) Next(ctx context.Context, n int, wait time.Duration) ([][]byte, error) {
	deadline := time.Now().Add(wait)
	for {
		payloads, err := c.look(ctx, n)
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

// look gives what is there now.
func (c *consumer) look(ctx context.Context, n int) ([][]byte, error) {
	if err := c.takeTurn(); err != nil {
		return nil, err
	}
	p, err := inTurn(ctx, c.e, func(w *writer) (*consumed, error) {
		if err := w.open(); err != nil {
			return nil, classify(w.path, err)
		}
		p, err := w.consume(c.given, c.replace, n)
		if err != nil {
			return nil, w.giveUp(err)
		}
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	c.accept(p)
	return p.payloads, nil
}

// accept moves on behind a page.
func (c *consumer) accept(p *consumed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.anew {
		c.e.log.Warn("the database is another one than the consumer's position is of, reading it from its oldest record",
			"group", filepath.Base(c.dir))
		c.committed = position{}
	}
	c.given, c.replace, c.expired = p.next, p.replace, c.expired+p.expired
}

// takeTurn locks the group's directory and reads its position.
func (c *consumer) takeTurn() error {
	if c.turn != nil {
		return nil
	}
	turn, err := sqlitefile.Lock(c.dir)
	if errors.Is(err, sqlitefile.ErrInUse) {
		return &engine.Error{Transient: true, Err: engine.ErrTurn}
	}
	if err != nil {
		return classify(c.dir, err)
	}
	at, err := readPosition(c.dir)
	if err != nil {
		_ = turn.Close()
		return classify(c.dir, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn, c.given, c.committed, c.replace = turn, at, at, newlyOpened
	return nil
}

// Commit writes the group's position.
func (c *consumer) Commit(context.Context) error {
	if c.turn == nil || c.given == c.committed {
		return nil
	}
	if err := c.given.write(c.dir); err != nil {
		return classify(c.dir, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.committed = c.given
	return nil
}

// Holds is always so: the lock is the process's until it ends.
func (c *consumer) Holds(context.Context) error { return nil }

// Lag counts what is behind the positions. The oldest one's age is told by its received_at.
func (c *consumer) Lag(ctx context.Context) (engine.Group, error) {
	c.mu.Lock()
	given, committed, turn := c.given, c.committed, c.turn != nil
	g := engine.Group{Expired: c.expired}
	c.mu.Unlock()
	if !turn {
		at, err := readPosition(c.dir)
		if err != nil {
			return g, classify(c.dir, err)
		}
		given, committed = at, at
	}
	return inTurn(ctx, c.e, func(w *writer) (engine.Group, error) {
		if err := w.open(); err != nil {
			return g, classify(w.path, err)
		}
		g, err := w.lag(g, given.Seq, committed.Seq)
		if err != nil {
			return g, w.giveUp(err)
		}
		return g, nil
	})
}

// Close leaves the position as it was committed last.
func (c *consumer) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	turn := c.turn
	c.turn = nil
	if turn == nil {
		return nil
	}
	return turn.Close()
}

// consumed is a page of records, and where it ends.
type consumed struct {
	payloads [][]byte
	next     position
	expired  int64 // seqs between the records that no record has any more
	replace  int
	anew     bool // the position was of another database
}

// consume reads the page behind a position.
func (w *writer) consume(at position, replace, n int) (*consumed, error) {
	p := &consumed{next: at, replace: w.replace}
	same, err := w.knows(at, replace)
	if err != nil {
		return nil, err
	}
	if !same {
		p.anew, p.next = true, position{}
	}
	s := w.db.consume
	s.bind(p.next.Seq, int64(n))
	return p, s.each(func(row []driver.Value) error {
		seq, _ := row[0].(int64)
		id, _ := row[1].(string)
		payload, _ := row[2].(string)
		if p.next.Seq > 0 {
			p.expired += seq - p.next.Seq - 1
		}
		p.next = position{Seq: seq, ID: id}
		p.payloads = append(p.payloads, []byte(payload))
		return nil
	})
}

// knows reports whether the position is of this database. One that was opened anew has given that seq, and the record
// there, unless it is too old to be kept, has that id.
func (w *writer) knows(at position, replace int) (bool, error) {
	if at.Seq == 0 {
		return true, nil
	}
	if replace != newlyOpened && replace != w.replace {
		return false, nil
	}
	newest, err := w.newestSeq()
	if err != nil || newest < at.Seq {
		return false, err
	}
	id := at.ID
	w.db.consumedID.bind(at.Seq)
	err = w.db.consumedID.each(func(row []driver.Value) error {
		id, _ = row[0].(string)
		return nil
	})
	return id == at.ID, err
}

// newestSeq is the highest seq that the table has given.
func (w *writer) newestSeq() (int64, error) {
	newest, given, err := w.newestSeqs()
	return max(newest, given), err
}

// newestSeqs are the highest seq that is there, and the highest of those that were removed as the newest.
func (w *writer) newestSeqs() (newest, given int64, err error) {
	if newest, err = w.db.newest.number(); err != nil {
		return 0, 0, err
	}
	given, err = w.db.newestGiven.number()
	return newest, given, err
}

// lag counts the records behind those given and those committed.
func (w *writer) lag(g engine.Group, given, committed int64) (engine.Group, error) {
	newest, err := w.db.newest.number()
	if err != nil {
		return g, err
	}
	oldest, err := w.db.ask("SELECT min(seq) FROM records")
	if err != nil {
		return g, err
	}
	first, _ := oldest.(int64)
	g.Lag = max(0, newest-max(given, first-1))
	if g.Unread = max(0, newest-max(committed, first-1)); g.Unread == 0 {
		return g, nil
	}
	payload, err := w.db.ask(consumerOldest, committed)
	g.Oldest = age(payload)
	return g, err
}
