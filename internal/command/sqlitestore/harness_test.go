package sqlitestore

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/commandtest"
)

func TestMain(m *testing.M) {
	runAsChild()
	goleak.VerifyTestMain(m)
}

// TestStore runs the suite of all command stores. Close writes nothing that a killed process would not have written;
// TestKilledProcess kills a real one.
func TestStore(t *testing.T) {
	commandtest.Run(t, func(t *testing.T) commandtest.Backend {
		dir := t.TempDir()
		return commandtest.Backend{
			Open: func(t *testing.T, instance string) command.Store {
				s := openStore(t, dir, instance)
				s.maxOpen = commandtest.MaxOpen
				return s
			},
			Results: func(t *testing.T) []command.Entry { return readResults(t, dir) },
			Events:  func(t *testing.T) []commandtest.Event { return readEvents(t, dir) },
		}
	})
}

// openStore returns a store that ends forgotten commands soon. The caller closes it.
func openStore(t testing.TB, dir, instance string) *Store {
	t.Helper()
	s, err := New(Options{Dir: dir, Instance: instance, Logger: slog.New(slog.DiscardHandler),
		Sweep: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.grace = 100 * time.Millisecond
	return s
}

// start returns a store in the directory, closed when the test ends.
func start(t testing.TB, dir string) *Store {
	t.Helper()
	s := openStore(t, dir, "a")
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// connect opens the database as any other client would.
func connect(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, FileName)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// each reads the rows of a query by a client of its own. It expects the columns that it names: those are what other
// programs read.
func each(t testing.TB, dir, query string, row func(scan func(into ...any))) {
	t.Helper()
	db := connect(t, dir)
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		row(func(into ...any) {
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func readResults(t testing.TB, dir string) (all []command.Entry) {
	t.Helper()
	const query = `SELECT id, imei, state, response, response_encoding, response_hex, reason, sent_at, finished_at,
			instance FROM commands WHERE finished_at IS NOT NULL ORDER BY seq`
	each(t, dir, query, func(scan func(into ...any)) {
		var e command.Entry
		var response, encoding, raw *string
		var sent, finished *int64
		scan(&e.ID, &e.IMEI, &e.State, &response, &encoding, &raw, &e.Reason, &sent, &finished, &e.Instance)
		if response != nil {
			e.Response = decode(t, *response, *encoding)
			if raw != nil {
				e.Response = decode(t, *raw, string(command.Hex))
			}
		}
		if sent != nil {
			e.SentAt = time.UnixMilli(*sent)
		}
		e.FinishedAt = time.UnixMilli(*finished)
		all = append(all, e)
	})
	return all
}

func readEvents(t testing.TB, dir string) (all []commandtest.Event) {
	t.Helper()
	const query = `SELECT received_at, imei, kind, command, codec, type, named, sent, payload, encoding, payload_hex, size
		FROM events ORDER BY seq`
	each(t, dir, query, func(scan func(into ...any)) {
		var e commandtest.Event
		var payload, encoding string
		var raw *string
		var received int64
		scan(&received, &e.IMEI, &e.Kind, &e.Command, &e.Codec, &e.Type, &e.Named, &e.Sent,
			&payload, &encoding, &raw, &e.Size)
		e.Received, e.Payload = time.UnixMilli(received), decode(t, payload, encoding)
		if raw != nil {
			e.Payload = decode(t, *raw, string(command.Hex))
		}
		all = append(all, e)
	})
	return all
}

func decode(t testing.TB, text, encoding string) []byte {
	t.Helper()
	b, err := command.DecodePayload(text, command.Encoding(encoding))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
