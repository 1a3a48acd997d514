package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

func TestMain(m *testing.M) {
	runAsChild()
	migrateAsChild()
	indexAsChild()
	goleak.VerifyTestMain(m)
}

// TestEngine runs the suite of all engines. What breaks the store is another client that holds
// the write lock; the other faults have tests of their own.
func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		path := filepath.Join(t.TempDir(), FileName)
		lock := &writeLock{path: path}
		t.Cleanup(func() { lock.release(t) })
		return enginetest.Harness{
			Open:        func(t *testing.T) engine.Engine { return openEngine(t, path) },
			Records:     func(t *testing.T) []enginetest.Stored { return readRecords(t, path) },
			DeadLetters: func(t *testing.T) []enginetest.StoredDead { return readDeadLetters(t, path) },
			Messages:    func(t *testing.T) []engine.Message { return readMessages(t, path) },
			Break:       lock.take,
			Heal:        lock.release,
			Hang:        lock.take,
			Resume:      lock.release,
			Lose:        func(t *testing.T) { loseAll(t, path) },
			Recogniser:  true, Inspector: true, Tailer: true, DeadLetterStore: true, RecordReader: true, DeviceReader: true,
			Consumable: true,
		}
	})
}

// openEngine returns an engine that gives up on a lock soon. The caller closes it.
func openEngine(t testing.TB, path string) *Engine {
	t.Helper()
	e, err := New(Options{Dir: filepath.Dir(path), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e.lockWait = 500 * time.Millisecond
	return e
}

// start returns an engine on a new directory, closed when the test ends.
func start(t testing.TB) *Engine {
	t.Helper()
	return startIn(t, t.TempDir())
}

func startIn(t testing.TB, dir string) *Engine {
	t.Helper()
	e := openEngine(t, filepath.Join(dir, FileName))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// connect opens the database as any other client would.
func connect(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// query returns the first column of every row, read by a client of its own.
func query[T any](t testing.TB, path, text string) []T {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var values []T
	for rows.Next() {
		var value T
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func loseAll(t *testing.T, path string) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	for _, table := range []string{"records", "dead_letters", "messages"} {
		if _, err := db.ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
}

func readRecords(t *testing.T, path string) (stored []enginetest.Stored) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	if !hasTables(t, db) {
		return nil
	}
	rows, err := db.QueryContext(t.Context(), "SELECT device_id, codec, ts, payload FROM records ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r enginetest.Stored
		if err := rows.Scan(&r.DeviceID, &r.Codec, &r.Timestamp, &r.Payload); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, r)
	}
	return stored
}

func readDeadLetters(t *testing.T, path string) (stored []enginetest.StoredDead) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	if !hasTables(t, db) {
		return nil
	}
	rows, err := db.QueryContext(
		t.Context(),
		"SELECT device_id, codec, reason, ts, frame, transport FROM dead_letters ORDER BY seq",
	)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var d enginetest.StoredDead
		var received int64
		var frame string
		if err := rows.Scan(&d.DeviceID, &d.Codec, &d.Reason, &received, &frame, &d.Transport); err != nil {
			t.Fatal(err)
		}
		d.Received = time.UnixMilli(received)
		if d.Frame, err = hex.DecodeString(frame); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, d)
	}
	return stored
}

func readMessages(t *testing.T, path string) (stored []engine.Message) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	if !hasTables(t, db) {
		return nil
	}
	rows, err := db.QueryContext(
		t.Context(),
		"SELECT device_id, codec, type, ts, sent, payload FROM messages ORDER BY seq",
	)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var m engine.Message
		var received int64
		var sent sql.NullInt64
		var payload string
		if err := rows.Scan(&m.DeviceID, &m.Codec, &m.Type, &received, &sent, &payload); err != nil {
			t.Fatal(err)
		}
		m.Received = time.UnixMilli(received)
		if sent.Valid {
			m.Sent = time.UnixMilli(sent.Int64)
		}
		if m.Payload, err = hex.DecodeString(payload); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, m)
	}
	return stored
}

// hasTables is false before the engine has opened its file for the first time.
func hasTables(t *testing.T, db *sql.DB) bool {
	t.Helper()
	var count int
	err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name = 'records'").Scan(&count)
	if err != nil {
		t.Fatal(err)
	}
	return count == 1
}

// writeLock is another client in the middle of a write transaction.
type writeLock struct {
	path string
	db   *sql.DB
	held *sql.Conn
}

func (l *writeLock) take(t *testing.T) {
	t.Helper()
	l.db = connect(t, l.path)
	held, err := l.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	l.held = held
}

func (l *writeLock) release(t *testing.T) {
	t.Helper()
	if l.db == nil {
		return
	}
	if _, err := l.held.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Error(err)
	}
	if err := l.held.Close(); err != nil {
		t.Error(err)
	}
	if err := l.db.Close(); err != nil {
		t.Error(err)
	}
	l.db = nil
}
