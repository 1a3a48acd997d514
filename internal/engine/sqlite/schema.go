package sqlite

import (
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/retention"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// schemaVersion is kept in the file's user_version.
const schemaVersion = 5

// schema is what other programs read, with the columns of added and the views; columns are only ever added. The tables
// are not STRICT, which SQLite clients before 3.37 refuse to open. known is 0 for a dead letter of a device that had no
// record here.
const schema = `
CREATE TABLE IF NOT EXISTS records (
	seq INTEGER PRIMARY KEY, id TEXT UNIQUE, device_id TEXT, ts INTEGER, codec TEXT, payload TEXT);
CREATE TABLE IF NOT EXISTS dead_letters (
	seq INTEGER PRIMARY KEY, ts INTEGER, device_id TEXT, reason TEXT, codec TEXT, frame TEXT, transport TEXT,
	known INTEGER);
CREATE TABLE IF NOT EXISTS messages (
	seq INTEGER PRIMARY KEY, ts INTEGER, device_id TEXT, codec TEXT, type INTEGER, sent INTEGER, payload TEXT);`

// added are the columns that a table of an earlier version lacks.
var added = []struct{ table, column, kind string }{
	{"dead_letters", "transport", "TEXT"},
	{"dead_letters", "known", "INTEGER"},
	{"records", "received_at", receivedAt},
}

// own is what nobody but the engine needs.
var own = retention.Schema + marksSchema + recordNewestSchema + deadLetterTotalSchema +
	totalSchema("messages", "message_total", "payload")

// views are what other programs may read beside the tables.
const views = signalsView

// migrate makes a file that is new or of an earlier version one of this version, in one transaction. To another
// file it writes nothing.
func (d *database) migrate() error {
	version, err := d.ask("PRAGMA user_version")
	if err != nil {
		return err
	}
	switch found, _ := version.(int64); {
	case found == schemaVersion:
		return nil
	case found > schemaVersion:
		return sqlitefile.NewerSchema(int(found), schemaVersion)
	}
	if _, err := d.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := d.completeSchema(); err != nil {
		_, undo := d.exec("ROLLBACK")
		return errors.Join(err, undo)
	}
	_, err = d.exec("COMMIT")
	return err
}

// completeSchema adds what is missing. It trusts no version: another program may have migrated the file meanwhile, and
// a file that was copied as SQL has lost its number.
func (d *database) completeSchema() error {
	if _, err := d.exec(schema); err != nil {
		return err
	}
	if err := d.addColumns(); err != nil {
		return err
	}
	numbered, err := d.hasTable("record_newest")
	if err != nil {
		return err
	}
	if _, err := d.exec(own + views); err != nil {
		return err
	}
	if err := d.indexSmall(); err != nil {
		return err
	}
	marked, err := d.hasTable("retention")
	if err != nil {
		return err
	}
	if marked {
		if _, err := d.exec(convertMarks); err != nil {
			return err
		}
	}
	if !numbered {
		if err := d.numberAboveMarks(); err != nil {
			return err
		}
	}
	_, err = d.exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	return err
}

func (d *database) hasTable(name string) (bool, error) {
	found, err := d.ask("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", name)
	return found == int64(1), err
}

func (d *database) addColumns() error {
	for _, a := range added {
		found, err := d.ask("SELECT count(*) FROM pragma_table_xinfo(?) WHERE name = ?", a.table, a.column)
		if err != nil {
			return err
		}
		if found == int64(1) {
			continue
		}
		if _, err := d.exec(fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", a.table, a.column, a.kind)); err != nil {
			return err
		}
	}
	return nil
}
