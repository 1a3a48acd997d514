package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
)

// The rhythm of the background work.
const (
	maintenanceInterval = time.Minute
	maintenanceLimit    = 30 * time.Second // for one of its transactions
	deleteChunk         = 500              // rows deleted in one transaction, between two batches
	maxLogBytes         = 256 << 20        // size of the write-ahead log that is worth a warning
)

func (e *Engine) startMaintenance() {
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	e.background.Go(func() {
		ticker := time.NewTicker(maintenanceInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				e.maintain(ctx)
			}
		}
	})
}

// maintain does one round of the background work.
func (e *Engine) maintain(ctx context.Context) {
	e.watchLog()
	if e.retention == 0 {
		return
	}
	if err := e.deleteOld(ctx); err != nil && ctx.Err() == nil {
		e.log.Warn("old records could not be deleted", "path", e.path, "error", err)
	}
}

// watchLog warns while the write-ahead log cannot be moved into the database.
func (e *Engine) watchLog() {
	if size := logSize(e.path); size > maxLogBytes {
		e.log.Warn("write-ahead log keeps growing, end the client that holds a read transaction",
			"path", e.path+"-wal", "bytes", size)
	}
}

func logSize(path string) int64 {
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// deleteOld deletes what has been kept for the retention. A record's own timestamp is the device's and may lie
// anywhere, and the wall clock may be wrong; so a mark is made every minute of what is stored by now, with the time by
// the file's own clock (package retention), and the newest mark that is old enough says how far to delete.
func (e *Engine) deleteOld(ctx context.Context) error {
	now, err := e.mark(ctx)
	if err != nil {
		return err
	}
	before := now - e.retention.Milliseconds()
	for _, step := range deletions {
		for {
			deleted, err := e.change(ctx, step, before)
			if err != nil {
				return err
			}
			if deleted < deleteChunk {
				break
			}
		}
	}
	_, err = e.change(ctx, deleteMarks, before)
	return err
}

// tables are those that the retention goes for. A mark has a column for each, <name>_seq. newest is the table that
// keeps the highest seq that one has given.
var tables = []struct{ name, newest string }{
	{"records", "record_newest"}, {"dead_letters", "dead_letter_total"}, {"messages", "message_total"},
}

const marksSchema = `
CREATE TABLE IF NOT EXISTS marks (
	in_use_ms INTEGER PRIMARY KEY, records_seq INTEGER, dead_letters_seq INTEGER, messages_seq INTEGER);`

// deletions delete some of a table's old rows. The newest row always stays, so that a tail does not take the file for
// another one.
var deletions = func() (all []string) {
	for _, table := range tables {
		all = append(all, fmt.Sprintf(`DELETE FROM %[1]s WHERE seq IN (SELECT seq FROM %[1]s
			WHERE seq <= (SELECT max(%[1]s_seq) FROM marks WHERE in_use_ms <= ?)
				AND seq < (SELECT max(seq) FROM %[1]s) ORDER BY seq LIMIT %[2]d)`, table.name, deleteChunk))
	}
	return all
}()

const (
	makeMark = `INSERT OR REPLACE INTO marks (in_use_ms, records_seq, dead_letters_seq, messages_seq)
		SELECT ?, records, dead_letters, messages FROM (
			SELECT coalesce((SELECT max(seq) FROM records), 0) AS records,
				coalesce((SELECT max(seq) FROM dead_letters), 0) AS dead_letters,
				coalesce((SELECT max(seq) FROM messages), 0) AS messages)
		WHERE records > coalesce((SELECT max(records_seq) FROM marks), 0)
			OR dead_letters > coalesce((SELECT max(dead_letters_seq) FROM marks), 0)
			OR messages > coalesce((SELECT max(messages_seq) FROM marks), 0)`
	deleteMarks = `DELETE FROM marks WHERE in_use_ms < (SELECT max(in_use_ms) FROM marks WHERE in_use_ms <= ?)`
)

// convertMarks takes over the marks of an earlier version, which have the wall clock's time: in the order in which they
// were made, and between two of them no more than the file's clock would have counted.
const convertMarks = `
INSERT OR REPLACE INTO marks SELECT sum(gap) OVER (ORDER BY records_seq, dead_letters_seq),
	records_seq, dead_letters_seq, 0
	FROM (SELECT *, max(0, min(3600000,
		coalesce(stored_at - lag(stored_at) OVER (ORDER BY records_seq, dead_letters_seq), 0))) AS gap
		FROM retention) ORDER BY records_seq, dead_letters_seq;
UPDATE retention_clock SET in_use_ms = coalesce((SELECT max(in_use_ms) FROM marks), 0);
DROP TABLE retention;`

// mark sets the file's clock forward, marks what is stored by now, and returns the time, in ms.
func (e *Engine) mark(ctx context.Context) (now int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, maintenanceLimit)
	defer cancel()
	return inTurn(ctx, e, func(w *writer) (int64, error) {
		if err := w.begin(ctx, e.lockWait); err != nil {
			return 0, err
		}
		boot, uptime := e.uptime()
		answer, err := w.db.ask(retention.Advance, boot, uptime.Milliseconds())
		if err != nil {
			return 0, w.giveUp(err)
		}
		if _, err := w.db.exec(makeMark, answer); err != nil {
			return 0, w.giveUp(err)
		}
		now, _ := answer.(int64)
		return now, w.commit()
	})
}

// change runs one statement between two batches and returns how many rows it changed.
func (e *Engine) change(ctx context.Context, sql string, value driver.Value) (changed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, maintenanceLimit)
	defer cancel()
	return inTurn(ctx, e, func(w *writer) (int64, error) {
		if err := w.begin(ctx, e.lockWait); err != nil {
			return 0, err
		}
		changed, err := w.db.exec(sql, value)
		if err != nil {
			return 0, w.giveUp(err)
		}
		if changed == 0 {
			return 0, w.cancel()
		}
		w.buried++ // they may have been dead letters
		return changed, w.commit()
	})
}
