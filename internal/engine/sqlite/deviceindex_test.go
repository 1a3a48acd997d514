package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// unindexed are more records than a file may have that gets its index when it is opened.
const unindexed = indexedAtOnce + 2_000

const indexingChild = "TEST_SQLITE_INDEXING_DIR" // makes the test binary a process that builds the index and hangs

// makeVersion makes a file as that version left it: two records, a dead letter and a message.
func makeVersion(t *testing.T, path string, version int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("version%d.sql", version)))
	if err != nil {
		t.Fatal(err)
	}
	db := connect(t, path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA journal_mode = WAL;"+string(text)); err != nil {
		t.Fatal(err)
	}
}

// makeLargeFile makes a file of the version before there was an index, with too many records to get it at once.
func makeLargeFile(t *testing.T, path string) {
	t.Helper()
	makeVersion(t, path, 4)
	db := connect(t, path)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 2; n < unindexed; n++ {
		r := enginetest.NewRecord(device, n)
		_, err := tx.ExecContext(t.Context(), "INSERT INTO records (id, device_id, ts, codec, payload) VALUES (?,?,?,?,?)",
			string(r.ID), r.DeviceID, r.Timestamp, r.Codec, string(r.Payload))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func indexed(t *testing.T, path string) bool {
	t.Helper()
	return query[int64](t, path, deviceIndexExists)[0] == 1
}

// TestEveryEarlierVersionIsMigrated keeps what is in the file, and has the same schema as a new one afterwards.
func TestEveryEarlierVersionIsMigrated(t *testing.T) {
	for version := 2; version < schemaVersion; version++ {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		makeVersion(t, path, version)
		e := startIn(t, dir)
		storeAll(t, e, enginetest.NewBatch(device, 2, 3))
		wantStored(t, path, enginetest.NewBatch(device, 0, 5).Records...)
		if stored := readMessages(t, path); len(stored) != 1 {
			t.Errorf("version %d: %d messages are left, want 1", version, len(stored))
		}
		wantSameTables(t, path)
		if !indexed(t, path) {
			t.Errorf("version %d: no index", version)
		}
		if n := query[int64](t, path, "SELECT count(DISTINCT received_at) FROM records")[0]; n != 5 {
			t.Errorf("version %d: %d of 5 records say when they came", version, n)
		}
	}
}

// TestLargeFileIsIndexedOnDemand stores without the index, says that it is missing, and builds it when asked.
func TestLargeFileIsIndexedOnDemand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeLargeFile(t, path)
	e := startIn(t, dir)
	var log strings.Builder
	e.turns.Give(func() *writer {
		w, _ := e.turns.Take(t.Context())
		w.log = slog.New(slog.NewTextHandler(&log, nil))
		return w
	}())
	storeAll(t, e, enginetest.NewBatch(device, unindexed, 1))
	for _, atMost := range []int64{0, unindexed} {
		if err := e.Migrate(t.Context(), atMost); err != nil {
			t.Fatal(err)
		}
		if indexed(t, path) || !strings.Contains(log.String(), "run migrate") {
			t.Fatalf("at most %d records: the index is built, or nothing says that it is missing: %s", atMost, &log)
		}
	}
	if d, err := e.Inspect(t.Context()); err != nil || !strings.Contains(fmt.Sprint(d.Warnings), "tcp-ingestion migrate") {
		t.Errorf("inspect says %+v, %v", d, err)
	}
	if err := e.Migrate(t.Context(), unindexed+1); err != nil || !indexed(t, path) {
		t.Fatalf("not built: %v", err)
	}
	for _, said := range []string{"nothing is stored meanwhile", "index by device built"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q: %s", said, &log)
		}
	}
	if err := e.Migrate(t.Context(), math.MaxInt64); err != nil {
		t.Errorf("a second time: %v", err)
	}
	storeAll(t, e, enginetest.NewBatch(device, unindexed+1, 10))
	if d, err := e.Inspect(t.Context()); err != nil || strings.Contains(fmt.Sprint(d.Warnings), "migrate") {
		t.Errorf("inspect says %+v, %v", d, err)
	}
	if ok := query[string](t, path, "PRAGMA integrity_check"); !slices.Equal(ok, []string{"ok"}) {
		t.Errorf("the file is not sound: %q", ok)
	}
}

// indexAsChild builds the index of a file and does not commit it.
func indexAsChild() {
	dir := os.Getenv(indexingChild)
	if dir == "" {
		return
	}
	w := &writer{path: filepath.Join(dir, FileName), log: slog.New(slog.DiscardHandler)}
	err := w.begin(context.Background(), time.Minute)
	if err == nil {
		_, err = w.db.exec("PRAGMA cache_size = 1; " + deviceIndex)
	}
	fmt.Println("built, not committed:", err)
	select {}
}

// TestMigrationKilledWhileBuilding leaves no half index, whenever the process is killed.
func TestMigrationKilledWhileBuilding(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeLargeFile(t, path)
	for range 2 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), indexingChild+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "built, not committed: <nil>\n" {
			t.Errorf("the child says %q, %v", line, err)
		}
		_ = child.Process.Kill()
		_ = child.Wait()
		if ok := query[string](t, path, "PRAGMA integrity_check"); indexed(t, path) || !slices.Equal(ok, []string{"ok"}) {
			t.Errorf("there is an index that was not committed, or the file is not sound: %q", ok)
		}
	}
	e := startIn(t, dir)
	if err := e.Migrate(t.Context(), math.MaxInt64); err != nil || !indexed(t, path) {
		t.Errorf("not built: %v", err)
	}
	if n := query[int64](t, path, "SELECT count(*) FROM records")[0]; n != unindexed {
		t.Errorf("%d records are stored, want %d", n, unindexed)
	}
}

// TestMigrationBesideAReader keeps the snapshot of a client that reads all the time.
func TestMigrationBesideAReader(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeLargeFile(t, path)
	db := connect(t, path)
	defer db.Close()
	reading, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		t.Helper()
		if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM records").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	e := startIn(t, dir)
	if err := e.Migrate(t.Context(), math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	storeAll(t, e, enginetest.NewBatch(device, unindexed, 1))
	if after := count(); before != unindexed || after != before {
		t.Errorf("the reader sees %d records, then %d", before, after)
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	if !indexed(t, path) {
		t.Error("no index")
	}
}

// TestMigrationOnFullDisk leaves the file as it was, and works once there is room.
func TestMigrationOnFullDisk(t *testing.T) {
	dir := mountMemory(t)
	path := filepath.Join(dir, FileName)
	makeLargeFile(t, path)
	ballast := fillDisk(t, dir)
	e := startIn(t, dir)
	wantFailure(t, e.Migrate(t.Context(), math.MaxInt64), "disk is full")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if indexed(t, path) {
		t.Error("there is an index that was not built")
	}
	storeAll(t, e, enginetest.NewBatch(device, unindexed, 1))
	if err := e.Migrate(t.Context(), math.MaxInt64); err != nil || !indexed(t, path) {
		t.Errorf("not built once there is room: %v", err)
	}
	if n := query[int64](t, path, "SELECT count(*) FROM records")[0]; n != unindexed+1 {
		t.Errorf("%d records are stored, want %d", n, unindexed+1)
	}
}

// TestMigrationWaitsForALock gives up when another client writes for long, and nothing has happened.
func TestMigrationWaitsForALock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	makeLargeFile(t, path)
	lock := &writeLock{path: path}
	lock.take(t)
	e := startIn(t, dir)
	err := e.Migrate(context.Background(), math.MaxInt64)
	lock.release(t)
	wantFailure(t, err, "write lock")
	if err := e.Migrate(t.Context(), math.MaxInt64); err != nil || !indexed(t, path) {
		t.Errorf("not built after the lock: %v", err)
	}
}
