package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"time"
)

// The rhythm of the background work.
const (
	maintenanceInterval = time.Minute
	maintenanceLimit    = 30 * time.Second // for one of its transactions
	deleteChunk         = 500              // rows deleted in one transaction, between two batches
	maxLogBytes         = 256 << 20        // size of the write-ahead log that is worth a warning
)

// earliestClock is a time before which the clock has not been set yet. A mark made then would
// make records look decades old once it is.
var earliestClock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

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

// deleteOld deletes what was stored longer ago than the retention. A record's own timestamp is
// the device's and may lie anywhere, so a mark is made every minute of what is stored by now, and
// the newest mark that is old enough says how far to delete.
func (e *Engine) deleteOld(ctx context.Context) error {
	now := e.now()
	if now.Before(earliestClock) {
		return nil
	}
	if _, err := e.transaction(ctx, makeMark, now.UnixMilli()); err != nil {
		return err
	}
	cutoff := now.Add(-e.retention).UnixMilli()
	for _, step := range deletions {
		for {
			deleted, err := e.transaction(ctx, step, cutoff)
			if err != nil {
				return err
			}
			if deleted < deleteChunk {
				break
			}
		}
	}
	_, err := e.transaction(ctx, deleteMarks, cutoff)
	return err
}

// tables are those that the retention goes for. A mark has a column for each, <table>_seq.
var tables = []string{"records", "dead_letters", "messages"}

// deletions delete some of a table's old rows. The newest row always stays: SQLite would give its seq to the
// next one again.
var deletions = func() (all []string) {
	for _, table := range tables {
		all = append(all, fmt.Sprintf(`DELETE FROM %[1]s WHERE seq IN (SELECT seq FROM %[1]s
			WHERE seq <= (SELECT max(%[1]s_seq) FROM retention WHERE stored_at <= ?)
				AND seq < (SELECT max(seq) FROM %[1]s) ORDER BY seq LIMIT %[2]d)`, table, deleteChunk))
	}
	return all
}()

const (
	makeMark = `INSERT OR REPLACE INTO retention (stored_at, records_seq, dead_letters_seq, messages_seq)
		SELECT ?, records, dead_letters, messages FROM (
			SELECT coalesce((SELECT max(seq) FROM records), 0) AS records,
				coalesce((SELECT max(seq) FROM dead_letters), 0) AS dead_letters,
				coalesce((SELECT max(seq) FROM messages), 0) AS messages)
		WHERE records > coalesce((SELECT max(records_seq) FROM retention), 0)
			OR dead_letters > coalesce((SELECT max(dead_letters_seq) FROM retention), 0)
			OR messages > coalesce((SELECT max(messages_seq) FROM retention), 0)`
	deleteMarks = `DELETE FROM retention WHERE stored_at < (SELECT max(stored_at) FROM retention WHERE stored_at <= ?)`
)

// transaction runs one statement between two batches and returns how many rows it changed.
func (e *Engine) transaction(ctx context.Context, sql string, value driver.Value) (changed int64, err error) {
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
		return changed, w.commit()
	})
}
