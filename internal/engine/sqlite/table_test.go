package sqlite

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// TestTables looks at the tables as the programs that read them do.
func TestTables(t *testing.T) {
	e := start(t)
	b := enginetest.NewBatch(device, 0, 20)
	b.Records[3].Payload = []byte("\x00\xff{}")
	b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}
	b.Messages = []engine.Message{enginetest.NewMessage(device, 0), enginetest.NewMessage(device, 1)}
	storeAll(t, e, enginetest.Sized(b))

	for text, want := range map[string][]string{
		"SELECT name || ' ' || type FROM pragma_table_info('records')": {
			"seq INTEGER", "id TEXT", "device_id TEXT", "ts INTEGER", "codec TEXT", "payload TEXT"},
		"SELECT name || ' ' || type FROM pragma_table_info('dead_letters')": {
			"seq INTEGER", "ts INTEGER", "device_id TEXT", "reason TEXT", "codec TEXT", "frame TEXT",
			"transport TEXT", "known INTEGER"},
		"SELECT name || ' ' || type FROM pragma_table_info('messages')": {
			"seq INTEGER", "ts INTEGER", "device_id TEXT", "codec TEXT", "type INTEGER", "sent INTEGER", "payload TEXT"},
		"SELECT ts || ' ' || device_id || ' ' || codec || ' ' || type || ' ' || ifnull(sent, 'none') || ' ' || " +
			"payload FROM messages": {
			fmt.Sprintf("%d %s 12 13 none %x", b.Messages[0].Received.UnixMilli(), device, b.Messages[0].Payload),
			fmt.Sprintf("%d %s 13 13 %d %x", b.Messages[1].Received.UnixMilli(), device, b.Messages[1].Sent.UnixMilli(),
				b.Messages[1].Payload)},
		`SELECT DISTINCT typeof(seq) || ' ' || typeof(id) || ' ' || typeof(device_id) || ' ' || typeof(ts) || ' ' ||
			typeof(codec) || ' ' || typeof(payload) FROM records`: {"integer text text integer text text"},
		"SELECT DISTINCT typeof(ts) || ' ' || typeof(frame) || ' ' || frame FROM dead_letters": {
			fmt.Sprintf("integer text %x", b.DeadLetters[0].Frame)},
		"SELECT group_concat(seq, ' ') FROM (SELECT seq FROM records ORDER BY seq LIMIT 5)": {"1 2 3 4 5"},
		"SELECT id FROM records WHERE seq = 8":                                              {string(b.Records[7].ID)},
		"PRAGMA journal_mode":                                                               {"wal"},
	} {
		if got := query[string](t, e.path, text); !slices.Equal(got, want) {
			t.Errorf("%s yields %q, want %q", text, got, want)
		}
	}
}

// TestEqualDeadLetters keeps dead letters that are alike, unless they may be a repeated write.
func TestEqualDeadLetters(t *testing.T) {
	e := start(t)
	for range 2 {
		storeAll(t, e, enginetest.Sized(&engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}}))
	}
	if stored := readDeadLetters(t, e.path); len(stored) != 2 {
		t.Errorf("%d dead letters are stored, want 2", len(stored))
	}
}

// TestReaderBesideWriter holds a read transaction open while the engine stores.
func TestReaderBesideWriter(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 100))
	db := connect(t, e.path)
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
	if n := count(); n != 100 {
		t.Fatalf("the reader sees %d records, want 100", n)
	}
	storeAll(t, e, enginetest.NewBatch(device, 100, 100))
	if n := count(); n != 100 {
		t.Errorf("the reader's snapshot has become %d records, want 100", n)
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 200).Records...)
}

// TestLogIsBounded keeps writing the size of many logs.
func TestLogIsBounded(t *testing.T) {
	e := start(t)
	var largest int64
	for i := range 40 {
		storeAll(t, e, enginetest.NewBatch(device, i*1000, 1000))
		largest = max(largest, logSize(e.path))
	}
	if limit := int64(24 << 20); largest == 0 || largest > limit {
		t.Errorf("the write-ahead log grew to %d bytes, want at most %d", largest, limit)
	}
}

// TestLogHeldUp warns when a reader keeps the log from being moved into the database. The log is
// made long by extending it, which SQLite does not mind.
func TestLogHeldUp(t *testing.T) {
	e := start(t)
	var lines strings.Builder
	e.log = slog.New(slog.NewTextHandler(&lines, nil))
	storeAll(t, e, enginetest.NewBatch(device, 0, 10))
	e.watchLog()
	if lines.Len() != 0 {
		t.Errorf("warning about a short log: %s", lines.String())
	}
	if err := os.Truncate(e.path+"-wal", maxLogBytes+1); err != nil {
		t.Fatal(err)
	}
	e.watchLog()
	if !strings.Contains(lines.String(), "write-ahead log keeps growing") {
		t.Errorf("no warning about a long log: %s", lines.String())
	}
	d, err := e.Inspect(t.Context())
	if err != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), "-wal has grown") {
		t.Errorf("inspect: %+v, %v", d, err)
	}
}
