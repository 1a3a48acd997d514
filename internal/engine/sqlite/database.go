package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	modernc "modernc.org/sqlite"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// pragmas are set beside those of every file. The log is moved into the database every 16 MiB, which
// keeps both the file and the pause small.
var pragmas = []string{
	"cache_size = -32768", // 32 MiB
	"wal_autocheckpoint = 4096",
}

// rowsPerInsert balances the cost of a statement against the driver's cost of binding, which
// grows with the square of the arguments; 8 and 16 are the fastest in BenchmarkStore.
const rowsPerInsert = 8

// database is one open connection and its prepared statements.
type database struct {
	conn  driver.Conn
	path  string
	files []os.FileInfo // the database and its two side files, as they were when opened

	begin, commit, rollback      *statement
	newest, length, newIDs, page *statement
	newestGiven                  *statement
	insertMany, insertOne        *statement
	insertDead, findDead, touch  *statement
	newestDead, deadPage         *statement
	removeDead, recent           *statement
	deadBytes, removeFirst       *statement
	dataVersion                  *statement
	insertMessage, sinceMessages *statement
	messageBytes, removeMessage  *statement
	newestMessage, messagePage   *statement
	consume, consumedID          *statement
	statements                   []*statement
}

// openDatabase opens or creates the file.
func openDatabase(path string) (*database, error) {
	if err := sqlitefile.Create(path, sqlitefile.MostOpen); err != nil {
		return nil, err
	}
	return openFile(path, "rwc", func(d *database) error {
		if err := d.setPragmas(); err != nil {
			return err
		}
		return d.migrate()
	})
}

// openFile opens the file in SQLite's mode. ready is what it needs before the statements can be prepared.
func openFile(path, mode string, ready func(*database) error) (_ *database, err error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: "mode=" + mode}
	conn, err := new(modernc.Driver).Open(name.String())
	if err != nil {
		return nil, err
	}
	d := &database{conn: conn, path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := ready(d); err != nil {
		return nil, err
	}
	if err := d.prepareAll(); err != nil {
		return nil, err
	}
	d.files, err = identify(path)
	return d, err
}

func (d *database) setPragmas() error {
	for _, pragma := range slices.Concat(sqlitefile.Pragmas, pragmas) {
		if _, err := d.exec("PRAGMA " + pragma); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) prepareAll() error {
	const insert = `INSERT INTO records (id, device_id, ts, codec, payload) VALUES %s ON CONFLICT (id) DO NOTHING`
	const row = `(?,?,?,?,?)`
	for _, p := range []struct {
		into **statement
		sql  string
	}{
		{&d.begin, "BEGIN IMMEDIATE"},
		{&d.commit, "COMMIT"},
		{&d.rollback, "ROLLBACK"},
		{&d.newest, "SELECT max(seq) FROM records"},
		{&d.length, "SELECT 1 + (SELECT max(seq) FROM records) - (SELECT min(seq) FROM records)"},
		{&d.newIDs, "SELECT id FROM records WHERE seq > ? ORDER BY seq"},
		{&d.page, "SELECT seq, payload FROM records WHERE seq > ? ORDER BY seq LIMIT ?"},
		{&d.recent, lastRecords},
		{&d.insertMany, fmt.Sprintf(insert, strings.Repeat(row+",", rowsPerInsert-1)+row)},
		{&d.insertOne, insertRecord},
		{&d.newestGiven, newestGiven},
		{&d.insertDead, insertDeadLetter},
		{&d.deadBytes, deadLetterBytes},
		{&d.removeFirst, removeFirst},
		{&d.newestDead, "SELECT max(seq) FROM dead_letters"},
		{&d.deadPage, `SELECT seq, ts, device_id, reason, codec, frame, transport FROM dead_letters
			WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`},
		{&d.removeDead, "DELETE FROM dead_letters WHERE seq = ?"},
		{&d.findDead, `SELECT count(*) FROM (SELECT * FROM dead_letters ORDER BY seq DESC LIMIT 10000)
			WHERE ts = ? AND device_id = ? AND reason = ? AND codec = ? AND frame = ? AND transport = ?`},
		{&d.insertMessage, insertMessage},
		{&d.sinceMessages, sinceMessages},
		{&d.messageBytes, messageBytes},
		{&d.removeMessage, removeOldestMessage},
		{&d.newestMessage, "SELECT max(seq) FROM messages"},
		{&d.messagePage, `SELECT seq, ts, device_id, codec, type, sent, payload FROM messages
			WHERE seq > ? ORDER BY seq LIMIT ?`},
		{&d.consume, consumerRecords},
		{&d.consumedID, consumerAt},
		{&d.dataVersion, "PRAGMA data_version"},
		{&d.touch, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)},
	} {
		s, err := d.prepare(p.sql)
		if err != nil {
			return err
		}
		*p.into = s
	}
	return nil
}

// prepare returns a statement that lives as long as the connection.
func (d *database) prepare(sql string) (*statement, error) {
	prepared, err := d.conn.Prepare(sql)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: prepared}
	d.statements = append(d.statements, s)
	return s, nil
}

// exec runs SQL once and returns how many rows it changed.
func (d *database) exec(sql string, values ...driver.Value) (changed int64, err error) {
	s := statement{}
	s.bind(values...)
	result, err := d.conn.(driver.ExecerContext).ExecContext(context.Background(), sql, s.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// ask runs SQL once and returns the first column of the last row.
func (d *database) ask(sql string, values ...driver.Value) (answer driver.Value, err error) {
	prepared, err := d.conn.Prepare(sql)
	if err != nil {
		return nil, err
	}
	s := statement{Stmt: prepared}
	s.bind(values...)
	err = s.each(func(row []driver.Value) error {
		answer = row[0]
		return nil
	})
	return answer, errors.Join(err, s.Close())
}

// identify returns the identities of the database and its side files.
func identify(path string) ([]os.FileInfo, error) {
	files := make([]os.FileInfo, 0, 3)
	for _, ending := range sqlitefile.SideFiles {
		info, err := os.Stat(path + ending)
		if err != nil {
			return nil, err
		}
		files = append(files, info)
	}
	return files, nil
}

// moved reports whether one of the open files is no longer the one at its path. SQLite would go
// on writing into files that nobody can find any more.
func (d *database) moved() bool {
	now, err := identify(d.path)
	if err != nil {
		return true
	}
	for i, info := range now {
		if !os.SameFile(info, d.files[i]) {
			return true
		}
	}
	return false
}

// abandon closes a database that has moved. What its log still holds goes into its own file
// first: SQLite would find the log by its name and replay it over the file that is there now.
// While another client reads the moved file that cannot be done: abandon fails and leaves the
// database open, or, when forced, drops what is in the log.
func (d *database) abandon(force bool) error {
	_, _ = d.rollback.exec() // fails when nothing is open
	busy, err := d.ask("PRAGMA wal_checkpoint(TRUNCATE)")
	if err == nil && busy != int64(0) {
		err = errMovedInUse
		if !force {
			return err
		}
	}
	_, persist := d.conn.(modernc.FileControl).FileControlPersistWAL("main", 1) // the names are another file's now
	closing := d.close()
	if err != nil {
		d.removeSideFiles()
	}
	return errors.Join(err, persist, closing)
}

// removeSideFiles removes the log and its index if they are still the ones that were opened.
func (d *database) removeSideFiles() {
	for i, ending := range sqlitefile.SideFiles {
		name := d.path + ending
		if info, err := os.Stat(name); err == nil && i > 0 && os.SameFile(info, d.files[i]) {
			_ = os.Remove(name) // else the next open fails, and says why
		}
	}
}

// close ends a transaction that is still open without storing it.
func (d *database) close() error {
	var failed []error
	for _, s := range d.statements {
		failed = append(failed, s.Close())
	}
	return errors.Join(append(failed, d.conn.Close())...)
}
