package sqlite

import (
	"fmt"
	"time"
)

// rowOverhead is what a dead letter or message counts for beside its bytes in hex.
const rowOverhead = 128

// warnEvery is how often it is logged that rows are removed for new ones.
const warnEvery = time.Minute

// totalSchema keeps in one row how many bytes a table's rows take, and the highest seq that one has had. Triggers keep
// it right whoever adds and removes rows, and their SQL is such that older clients can run it. hex is the column with
// the bytes.
func totalSchema(table, total, hex string) string {
	return fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS %[2]s (bytes INTEGER NOT NULL, newest_seq INTEGER NOT NULL);
INSERT INTO %[2]s
	SELECT coalesce(sum(coalesce(octet_length(%[3]s), 0) + %[4]d), 0), coalesce(max(seq), 0) FROM %[1]s
	HAVING NOT EXISTS (SELECT 1 FROM %[2]s);
CREATE TRIGGER IF NOT EXISTS %[1]s_added AFTER INSERT ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes + coalesce(length(NEW.%[3]s), 0) + %[4]d, newest_seq = max(newest_seq, NEW.seq);
END;
CREATE TRIGGER IF NOT EXISTS %[1]s_removed AFTER DELETE ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes - coalesce(length(OLD.%[3]s), 0) - %[4]d;
END;
CREATE TRIGGER IF NOT EXISTS %[1]s_changed AFTER UPDATE OF %[3]s ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes + coalesce(length(NEW.%[3]s), 0) - coalesce(length(OLD.%[3]s), 0);
END;`, table, total, hex, rowOverhead)
}

// room is what dead letters or messages may take.
type room struct {
	limit   int64 // bytes of all; 0 = no bound
	removed int64 // rows, by the write at hand
	total   int64 // rows, since the start
	warned  time.Time
}

// make removes rows until there is room for one more with such bytes in hex. One that is larger than the limit is
// then alone. Without a limit there is always room.
func (r *room) make(hex string, bytes, removeFirst *statement) error {
	if r.limit == 0 {
		return nil
	}
	size := int64(len(hex) + rowOverhead)
	for {
		taken, err := bytes.number()
		if err != nil || taken+size <= r.limit {
			return err
		}
		result, err := removeFirst.exec()
		if err != nil {
			return err
		}
		removed, err := result.RowsAffected()
		if err != nil || removed == 0 {
			return err
		}
		r.removed += removed
	}
}

// stored counts what the write at hand has removed, and reports whether that is to be logged.
func (r *room) stored() (warn bool) {
	r.total += r.removed
	if r.removed == 0 || time.Since(r.warned) < warnEvery {
		return false
	}
	r.warned = time.Now()
	return true
}

// noteRemoved warns, once in a while, that rows were removed for new ones.
func (w *writer) noteRemoved() {
	if w.dead.stored() {
		w.log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time",
			"limit", w.dead.limit)
	}
	if w.messages.stored() {
		w.log.Warn("oldest messages removed to make room for new ones: read them in time, or allow more",
			"limit", w.messages.limit)
	}
}
