package sqlite

import "fmt"

// A seq is given once. SQLite gives a new row the next one above the rows that are there, so after the newest rows are
// removed, by whatever client, it would give theirs again. Then a mark of the retention that was made of the old rows
// would date the new ones, and a reader that asks for what is above its place would miss them. So the highest seq that
// a table has given is kept beside it. For dead letters and messages the triggers of their totals keep it. Records are
// many, so a trigger notes only the newest one's seq when that one is removed: no write pays for it.

const recordNewestSchema = `
CREATE TABLE IF NOT EXISTS record_newest (newest_seq INTEGER NOT NULL);
INSERT INTO record_newest SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM record_newest);
CREATE TRIGGER IF NOT EXISTS records_newest_removed AFTER DELETE ON records
	WHEN OLD.seq > coalesce((SELECT max(seq) FROM records), 0) BEGIN
	UPDATE record_newest SET newest_seq = max(newest_seq, OLD.seq);
END;`

const (
	newestGiven = `SELECT newest_seq FROM record_newest`

	// insertRecord gives the seq itself. Several rows of one statement get theirs from SQLite, which is right only when
	// the newest record is there.
	insertRecord = `INSERT INTO records (seq, id, device_id, ts, codec, payload)
		VALUES (1 + max((SELECT newest_seq FROM record_newest), coalesce((SELECT max(seq) FROM records), 0)), ?,?,?,?,?)
		ON CONFLICT (id) DO NOTHING`
)

// numberAboveMarks prepares a file of an earlier version, which gave a seq again. Where a mark covers more than there
// is, nobody knows of when the rows are that are there now: they count as new.
func (d *database) numberAboveMarks() error {
	for _, table := range tables {
		_, err := d.exec(fmt.Sprintf(`UPDATE %[2]s SET newest_seq = max(newest_seq,
				coalesce((SELECT max(seq) FROM %[1]s), 0), coalesce((SELECT max(%[1]s_seq) FROM marks), 0));
			UPDATE marks SET %[1]s_seq = 0
				WHERE (SELECT max(%[1]s_seq) FROM marks) > coalesce((SELECT max(seq) FROM %[1]s), 0)`,
			table.name, table.newest))
		if err != nil {
			return err
		}
	}
	return nil
}
