package postgres

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// TestEngine runs the suite of all engines on a real server, each case in a schema of its own, which is made
// sooner than a database.
func TestEngine(t *testing.T) {
	for _, lanes := range []int{1, 2} {
		t.Run(fmt.Sprintf("lanes=%d", lanes), func(t *testing.T) {
			server := testkit.StartPostgres(t, "fsync=off")
			schemas := 0
			enginetest.Run(t, func(t *testing.T) enginetest.Harness {
				schemas++
				name := fmt.Sprintf("case_%d", schemas)
				server.SQL("CREATE SCHEMA " + name)
				url := server.URL() + "?options=-csearch_path%3D" + name
				return enginetest.Harness{
					Open:        func(t *testing.T) engine.Engine { return openEngine(t, url, lanes) },
					Records:     func(t *testing.T) []enginetest.Stored { return readRecords(t, url) },
					DeadLetters: func(t *testing.T) []enginetest.StoredDead { return readDeadLetters(t, url) },
					Messages:    func(t *testing.T) []engine.Message { return readMessages(t, url) },
					Break:       func(*testing.T) { server.Kill() },
					Heal:        func(*testing.T) { server.Restart() },
					Hang:        func(*testing.T) { server.Freeze() },
					Resume:      func(*testing.T) { server.Thaw() },
					Lose: func(*testing.T) {
						server.SQL("SET search_path = " + name + "; DELETE FROM records; DELETE FROM dead_letters; TRUNCATE messages")
					},
					Documents:  true,
					Recogniser: true, Inspector: true, Tailer: true, DeadLetterStore: true, RecordReader: true,
					DeviceReader: true, Consumable: true,
				}
			})
		})
	}
}

// openEngine returns an engine that serves. The caller closes it.
func openEngine(t testing.TB, url string, lanes int) *Engine {
	t.Helper()
	e, err := New(Options{URL: url, Durability: Commit, Lanes: lanes,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// query reads rows by a client of its own. A table that is not there yet has none.
func query[T any](t testing.TB, url, text string, row pgx.RowToFunc[T]) []T {
	t.Helper()
	var conn *pgx.Conn
	testkit.Succeeds(t, "a connection of the test's own", testkit.Timeout, func() (err error) {
		conn, err = pgx.Connect(t.Context(), url)
		return err
	})
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), text)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, row)
	if err != nil && !isMissing(err) {
		t.Fatal(err)
	}
	return all
}

func readRecords(t testing.TB, url string) []enginetest.Stored {
	t.Helper()
	return query(t, url, "SELECT device_id, codec, ts, payload::text FROM records ORDER BY seq",
		pgx.RowToStructByPos[enginetest.Stored])
}

func readDeadLetters(t testing.TB, url string) []enginetest.StoredDead {
	t.Helper()
	return query(t, url, "SELECT device_id, codec, reason, ts, frame, transport FROM dead_letters ORDER BY seq",
		func(row pgx.CollectableRow) (d enginetest.StoredDead, err error) {
			var received int64
			var frame string
			err = row.Scan(&d.DeviceID, &d.Codec, &d.Reason, &received, &frame, &d.Transport)
			d.Received = time.UnixMilli(received)
			d.Frame = unhex(t, frame)
			return d, err
		})
}

func readMessages(t testing.TB, url string) []engine.Message {
	t.Helper()
	return query(t, url, "SELECT device_id, codec, type, ts, sent, payload FROM messages ORDER BY seq",
		func(row pgx.CollectableRow) (m engine.Message, err error) {
			var received int64
			var sent *int64
			var payload string
			err = row.Scan(&m.DeviceID, &m.Codec, &m.Type, &received, &sent, &payload)
			m.Received, m.Payload = time.UnixMilli(received), unhex(t, payload)
			if sent != nil {
				m.Sent = time.UnixMilli(*sent)
			}
			return m, err
		})
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
