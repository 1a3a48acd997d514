package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// fill makes 100,000 dead letters, each thousandth of a device that is known, and as many messages.
const fill = `INSERT INTO dead_letters (ts, device_id, reason, codec, frame, transport, known)
	SELECT n, 'device' || n % 5000, 'unknown_codec', '8', repeat('ab', 100), 'tcp', n % 1000 = 0
	FROM generate_series(1, 100000) AS n;
INSERT INTO messages (ts, device_id, codec, type, payload)
	SELECT n, 'device' || n % 5000, '12', 5, repeat('ab', 100) FROM generate_series(1, 100000) AS n; ANALYZE`

// TestFullTables stores in tables at their bounds: a Store reads and removes some rows by an index, however many there
// are. To sort them all takes hundreds of times as long as a Store far below the bounds.
func TestFullTables(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off", "autovacuum=off"), "filled")
	below := d.start(t)
	store(t, below, enginetest.NewBatch(device, 0, 1))
	d.sql(fill)
	const limit = 100_000 * (200 + 128)
	at := d.start(t, func(o *Options) { o.DeadLetterMaxBytes, o.MessageMaxBytes = limit-1_000_000, limit-1_000_000 })
	for _, statement := range []string{roomForDeadLetters, roomForMessages} {
		plan := d.sql("EXPLAIN (ANALYZE, COSTS off, TIMING off) " +
			strings.NewReplacer("$1", strconv.Itoa(limit/2), "$2", "300").Replace(statement))
		if strings.Contains(plan, "Seq Scan on dead_letters") || strings.Contains(plan, "Seq Scan on messages") {
			t.Errorf("the whole table is read:\n%s", plan)
		}
		for _, rows := range regexp.MustCompile(`rows=(\d+)`).FindAllStringSubmatch(plan, -1) {
			if n, _ := strconv.Atoi(rows[1]); n > 300 {
				t.Errorf("%d rows are read in order to remove 300:\n%s", n, plan)
			}
		}
	}
	if slow, fast := medianStore(t, at), medianStore(t, below); slow > 50*fast {
		t.Errorf("a Store takes %v at the bounds and %v below them", slow, fast)
	}
	got := d.sql("SELECT (SELECT count(*) < 99000 FROM messages), count(*) < 99000, count(*) FILTER (WHERE known) " +
		"FROM dead_letters")
	if want := fmt.Sprintf("t|t|%d", 100+2*stores); got != want {
		t.Errorf("room was made, and known devices have: %s, want %s", got, want)
	}
}

const stores = 15

// medianStore is how long an engine takes to store a dead letter and a message.
func medianStore(t *testing.T, e *Engine) time.Duration {
	t.Helper()
	var took []time.Duration
	for i := range stores {
		b := &engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, i)},
			Messages: []engine.Message{enginetest.NewMessage(device, i)}}
		begin := time.Now()
		store(t, e, b)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[stores/2]
}

// TestWritersApart: a transaction that has added messages and dead letters, or proved that the server stores, and is
// not committed yet, keeps no other connection waiting.
func TestWritersApart(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "apart")
	e := d.start(t)
	e.patience = 2 * time.Second
	b := enginetest.NewBatch(device, 0, 1)
	store(t, e, b)
	other := openElsewhere(t, d.url(), int(e.lanes[0].conn.PID()))
	if _, err := other.Exec(t.Context(), "BEGIN; "+strings.ReplaceAll(fill, "100000", "2")+"; "+proof); err != nil {
		t.Fatal(err)
	}
	store(t, e, &engine.Batch{Messages: []engine.Message{enginetest.NewMessage(device, 1)},
		DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 1)}})
	if got := store(t, e, b); !got[0].Duplicate { // which is followed by a proof
		t.Errorf("%+v", got)
	}
}

// openElsewhere connects to a process of the server whose row is another one than that of the process given.
func openElsewhere(t *testing.T, url string, pid int) *pgx.Conn {
	t.Helper()
	for {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { hangUp(c) })
		if int(c.PgConn().PID())%16 != pid%16 {
			return c
		}
	}
}
