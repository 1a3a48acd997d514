package sqlite

import "time"

// warnEvery is how often it is logged that dead letters are removed.
const warnEvery = time.Minute

var deadLetterTotalSchema = totalSchema("dead_letters", "dead_letter_total", "frame") + `
CREATE INDEX IF NOT EXISTS dead_letters_unknown ON dead_letters (known) WHERE known = 0;`

const (
	deadLetterBytes = `SELECT bytes FROM dead_letter_total`

	// insertDeadLetter never gives a seq a second time, as SQLite itself would after the newest row is removed. A device is
	// known by a record of it that is kept; a record's id begins with it and a dash, which is followed by a dot in ASCII.
	insertDeadLetter = `INSERT INTO dead_letters (seq, ts, device_id, reason, codec, frame, transport, known)
		VALUES (1 + (SELECT newest_seq FROM dead_letter_total), ?1, ?2, ?3, ?4, ?5, ?6,
			EXISTS (SELECT 1 FROM records WHERE id > ?2 || '-' AND id < ?2 || '.'))`

	// removeFirst removes the oldest dead letter of a device that was not known, else the oldest one.
	removeFirst = `DELETE FROM dead_letters WHERE seq = coalesce(
		(SELECT min(seq) FROM dead_letters WHERE known = 0), (SELECT min(seq) FROM dead_letters))`
)

// makeRoom removes dead letters until there is room for one more with such a frame. One that is larger than the limit is
// then alone. Without a limit there is always room.
func (w *writer) makeRoom(frame string) error {
	if w.maxDead == 0 {
		return nil
	}
	size := int64(len(frame) + rowOverhead)
	for {
		bytes, err := w.db.deadBytes.number()
		if err != nil || bytes+size <= w.maxDead {
			return err
		}
		result, err := w.db.removeFirst.exec()
		if err != nil {
			return err
		}
		if removed, err := result.RowsAffected(); err != nil || removed == 0 {
			return err
		}
		w.removed = true
	}
}

// noteRemoved warns, once in a while, that dead letters were removed for new ones.
func (w *writer) noteRemoved() {
	if !w.removed || time.Since(w.warned) < warnEvery {
		return
	}
	w.warned = time.Now()
	w.log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time", "limit", w.maxDead)
}
