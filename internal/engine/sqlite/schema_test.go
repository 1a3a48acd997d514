package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	modernc "modernc.org/sqlite"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// firstVersion is a file as version 1 of this program left it: a record, two dead letters and a mark.
const firstVersion = `PRAGMA journal_mode = WAL;
CREATE TABLE records (
	seq INTEGER PRIMARY KEY, id TEXT UNIQUE, device_id TEXT, ts INTEGER, codec TEXT, payload TEXT);
CREATE TABLE dead_letters (
	seq INTEGER PRIMARY KEY, ts INTEGER, device_id TEXT, reason TEXT, codec TEXT, frame TEXT);
CREATE TABLE retention (
	stored_at INTEGER PRIMARY KEY, records_seq INTEGER, dead_letters_seq INTEGER);
INSERT INTO dead_letters VALUES (7, 1790000000000, '356307042441013', 'malformed', '8', 'ffee'),
	(8, 1790000000001, '356307042441013', 'timestamp', '8E', '00');
INSERT INTO retention VALUES (1790000000000, 1, 8);
PRAGMA user_version = 1;`

// makeFirstVersion makes such a file, with the record.
func makeFirstVersion(t *testing.T, path string, record engine.Record) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), firstVersion); err != nil {
		t.Fatal(err)
	}
	_, err := db.ExecContext(t.Context(), "INSERT INTO records (id, device_id, ts, codec, payload) VALUES (?,?,?,?,?)",
		string(record.ID), record.DeviceID, record.Timestamp, record.Codec, string(record.Payload))
	if err != nil {
		t.Fatal(err)
	}
}

// wantMigrated opens the file, and wants everything in it kept, and everything new in it to work.
func wantMigrated(t *testing.T, dir string) {
	t.Helper()
	e := startIn(t, dir)
	b := enginetest.NewBatch(device, 0, 2) // the first one is the file's
	b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 1)}
	b.Messages = []engine.Message{enginetest.NewMessage(device, 1)}
	if err := e.Store(t.Context(), 0, enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	if !b.Results[0].Duplicate {
		t.Error("a record of the old file is not recognised")
	}
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 2).Records...)
	if stored := readMessages(t, e.path); len(stored) != 1 {
		t.Errorf("%d messages are stored, want 1", len(stored))
	}
	var refs, transports []string
	err := e.EachDeadLetter(t.Context(), func(ref string, d engine.DeadLetter) error {
		refs, transports = append(refs, ref), append(transports, d.Transport)
		return nil
	})
	if err != nil || !slices.Equal(refs, []string{"7", "8", "9"}) || !slices.Equal(transports, []string{"", "", "udp"}) {
		t.Errorf("dead letters %q, transports %q: %v", refs, transports, err)
	}
	if version := query[int64](t, e.path, "PRAGMA user_version"); version[0] != schemaVersion {
		t.Errorf("the file has version %d", version[0])
	}
	up := runs(e)
	e.retention = time.Hour
	for range 2 {
		maintain(t, e)
		up(30 * time.Minute)
	}
	maintain(t, e)
	e.retention = 0
	if left := query[int64](t, e.path, "SELECT seq FROM dead_letters"); !slices.Equal(left, []int64{9}) {
		t.Errorf("the old mark leaves the dead letters %d, want 9", left)
	}
}

func TestFileOfTheFirstVersionIsMigrated(t *testing.T) {
	dir := t.TempDir()
	makeFirstVersion(t, filepath.Join(dir, FileName), enginetest.NewRecord(device, 0))
	wantMigrated(t, dir)
	wantSameTables(t, filepath.Join(dir, FileName))
}

// A file that was copied as SQL has lost its version.
func TestFileWithoutItsVersionIsCompleted(t *testing.T) {
	for _, version := range []int{0, 1} {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		makeFirstVersion(t, path, enginetest.NewRecord(device, 0))
		wantMigrated(t, dir)
		db := connect(t, path)
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
			t.Fatal(err)
		}
		db.Close()
		storeAll(t, startIn(t, dir), enginetest.NewBatch(device, 10, 1))
		wantSameTables(t, path)
	}
}

// wantSameTables compares the columns with those of a new file.
func wantSameTables(t *testing.T, path string) {
	t.Helper()
	const columns = `SELECT m.name || '.' || c.name || ' ' || c.type
		FROM sqlite_schema m, pragma_table_xinfo(m.name) c ORDER BY m.name, c.cid`
	fresh := start(t)
	storeAll(t, fresh, enginetest.NewBatch(device, 0, 1))
	if got, want := query[string](t, path, columns), query[string](t, fresh.path, columns); !slices.Equal(got, want) {
		t.Errorf("the columns are %q, want %q", got, want)
	}
}

const migratingChild = "TEST_SQLITE_MIGRATING_DIR" // makes the test binary a process that migrates and does not commit

func migrateAsChild() {
	dir := os.Getenv(migratingChild)
	if dir == "" {
		return
	}
	conn, err := new(modernc.Driver).Open("file:" + filepath.Join(dir, FileName))
	if err == nil {
		d := &database{conn: conn}
		_, begin := d.exec("PRAGMA cache_size = 1; BEGIN IMMEDIATE")
		err = errors.Join(begin, d.completeSchema())
	}
	fmt.Println("migrated, not committed:", err)
	select {}
}

// The transaction is whole or not there, whenever the process is killed.
func TestMigrationKilledInBetween(t *testing.T) {
	dir := t.TempDir()
	makeFirstVersion(t, filepath.Join(dir, FileName), enginetest.NewRecord(device, 0))
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), migratingChild+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "migrated, not committed: <nil>\n" {
			t.Errorf("the child says %q, %v", line, err)
		}
		_ = child.Process.Kill()
		_ = child.Wait()
		if version := query[int64](t, filepath.Join(dir, FileName), "PRAGMA user_version"); version[0] != 1 {
			t.Errorf("half a migration has left version %d", version[0])
		}
	}
	wantMigrated(t, dir)
}

// Two programs that open an old file at once both get on with it.
func TestMigrationByTwoAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeFirstVersion(t, path, enginetest.NewRecord(device, 0))
	lock := &writeLock{path: path}
	lock.take(t)
	results := make(chan error)
	for n := range 2 {
		e := startIn(t, dir)
		e.lockWait = 20 * time.Second
		go func() { results <- e.Store(t.Context(), 0, enginetest.NewBatch(device, 1+n, 1)) }()
	}
	lock.release(t)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if stored := readRecords(t, path); len(stored) != 3 {
		t.Errorf("%d records are stored, want 3", len(stored))
	}
}

// TestMarksOfTheWallClock takes over marks that were made under a clock that was a month ahead for a minute: what was
// stored before it is not old because of that.
func TestMarksOfTheWallClock(t *testing.T) {
	const day = int64(24 * time.Hour / time.Millisecond)
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeFirstVersion(t, path, enginetest.NewRecord(device, 0))
	db := connect(t, path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO records (seq, id) VALUES (8, 'newest')"); err != nil {
		t.Fatal(err)
	}
	for i, at := range []int64{1, 2, 31*day + 3, 4, 5, 3600_005, 3660_005} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO retention VALUES (?, ?, 8)", 1790000000000+at,
			2+i); err != nil {
			t.Fatal(err)
		}
	}
	storeAll(t, startIn(t, dir), enginetest.NewBatch(device, 10, 1))
	want := []string{"0 1", "1 2", "2 3", "3600002 5", "3600003 6", "7200003 7", "7260003 8"}
	if got := query[string](t, path,
		"SELECT in_use_ms || ' ' || records_seq FROM marks ORDER BY 1 + in_use_ms"); !slices.Equal(
		got,
		want,
	) {
		t.Errorf("the marks are %q, want %q", got, want)
	}
	if now := query[int64](t, path, "SELECT in_use_ms FROM retention_clock")[0]; now != 7260003 {
		t.Errorf("the clock says %d", now)
	}
}
