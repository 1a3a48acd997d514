package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// makeUnindexedStore makes a data directory as an earlier version left it, with more records than those of a file that
// is brought up to date when it is opened.
func makeUnindexedStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	makeFiles(t, map[string]string{"DATA_DIR": dir})
	db := openStore(t, dir)
	for _, text := range []string{
		"DROP INDEX records_device_ts", "DROP VIEW signals", "ALTER TABLE records DROP COLUMN received_at",
		`INSERT INTO records (id, device_id, ts, codec, payload) WITH RECURSIVE n(i) AS
			(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) SELECT i, '356307042441013', i, '8', '{}' FROM n`,
		"PRAGMA user_version = 4",
	} {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return dir
}

func openStore(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "telemetry.db")+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func wantIndexed(t *testing.T, dir string, want bool) {
	t.Helper()
	var plan string
	err := openStore(t, dir).QueryRowContext(t.Context(), `SELECT group_concat(name) FROM sqlite_schema
		WHERE type = 'index' AND tbl_name = 'records' AND sql IS NOT NULL`).Scan(&plan)
	if has := err == nil && plan == "records_device_ts"; has != want {
		t.Errorf("the file's index by device: %v, want %v", has, want)
	}
}

// TestMigrate builds what is missing, once, and other commands leave it alone and say so.
func TestMigrate(t *testing.T) {
	dir := makeUnindexedStore(t)
	settings := map[string]string{"DATA_DIR": dir}
	code, out, errOut := execute(t, settings, "", "check")
	if code != 0 || !strings.Contains(out, "run tcp-ingestion migrate") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	wantIndexed(t, dir, false)
	for _, told := range []bool{true, false} {
		code, out, errOut := execute(t, settings, "", "migrate")
		if code != 0 || out != "nothing is missing\n" || strings.Contains(errOut, `"msg":"index by device built"`) != told {
			t.Errorf("migrate: exit code %d\n%s%s", code, out, errOut)
		}
		wantIndexed(t, dir, true)
	}
	var n int
	query := fmt.Sprintf("SELECT count(*) FROM records WHERE device_id = '%s'", "356307042441013")
	if err := openStore(t, dir).QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != 12000 {
		t.Errorf("%d records are kept, %v", n, err)
	}
	if code, _, errOut := execute(t, map[string]string{"DATA_DIR": "/dev/null/x"}, "", "migrate"); code != 1 ||
		!strings.Contains(errOut, "/dev/null/x") {
		t.Errorf("a directory that cannot be: exit code %d: %s", code, errOut)
	}
}

// TestServeMigratesASmallStore starts on a file of an earlier version.
func TestServeMigratesASmallStore(t *testing.T) {
	dir := makeUnindexedStore(t)
	s := startServer(t, map[string]string{"DATA_DIR": dir})
	testkit.EventuallyIn(t, "the index is built", patience, func() bool { return s.logged("index by device built") })
	testkit.EventuallyIn(t, "ready", patience, func() bool { status, _ := s.get("/readyz"); return status == 200 })
	wantIndexed(t, dir, true)
}
