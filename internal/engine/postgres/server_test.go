package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const device = "356307042441013"

// database is a new one for a test.
type database struct {
	*testkit.Postgres
	name string
}

func newDatabase(t testing.TB, server *testkit.Postgres, name string) database {
	t.Helper()
	server.SQL("CREATE DATABASE " + name)
	return database{server, name}
}

func (d database) url() string                  { return d.DatabaseURL(d.name) }
func (d database) sql(statements string) string { return d.DatabaseSQL(d.name, statements) }

// start opens an engine that is closed when the test ends.
func (d database) start(t testing.TB, change ...func(*Options)) *Engine {
	t.Helper()
	return startAt(t, d.url(), change...)
}

func startAt(t testing.TB, url string, change ...func(*Options)) *Engine {
	t.Helper()
	opt := Options{URL: url, Durability: Commit, Lanes: 1, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&opt)
	}
	e, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// store stores the batch in lane 0, and returns the items' results.
func store(t testing.TB, e *Engine, b *engine.Batch) []engine.Result {
	t.Helper()
	if err := e.Store(context.Background(), 0, enginetest.Sized(b)); err != nil {
		t.Fatalf("store: %v", err)
	}
	return b.Results
}

// TestRefusedItems: what one item holds refuses neither the others of the batch nor the device's own.
func TestRefusedItems(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "refused")
	e := d.start(t)
	b := enginetest.NewBatch(device, 0, 20)
	b.Records[3].Payload = []byte(`["no end"`)
	b.Records[11].Payload = []byte("{\"x\":\"\xff\"}")
	b.Records[19].Payload = []byte("no document")
	b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 0), enginetest.NewDeadLetter(device, 1)}
	b.DeadLetters[0].Reason = "\xff"
	b.Messages = []engine.Message{enginetest.NewMessage(device, 0)}
	refused := map[int]bool{3: true, 11: true, 19: true, 20: true}
	for range 2 { // the second time all others are duplicates, and the batch is the same one
		for i, r := range store(t, e, b) {
			if refused[i] != (r.Err != nil) || refused[i] && (engine.IsTransient(r.Err) || engine.IsAmbiguous(r.Err)) {
				t.Errorf("item %d: %+v", i, r)
			}
		}
	}
	if got := d.sql("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM dead_letters), " +
		"(SELECT count(*) FROM messages)"); got != "17|1|1" {
		t.Errorf("records, dead letters and messages: %s", got)
	}
}

// TestNULInText stores documents whose texts have what PostgreSQL takes in no text.
func TestNULInText(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "nul")
	e := d.start(t)
	texts := map[string]string{
		`\u0000`: `\ufffd`, `a\u0000\u0000b`: `a\ufffd\ufffdb`, `\\u0000`: `\\u0000`, `\\\u0000`: `\\\ufffd`,
		`\u0000\\u0000`: `\ufffd\\u0000`, `\u00000`: `\ufffd0`, `\u000`: `\u000`,
	}
	n := 0
	for text, want := range texts {
		if got := string(appendDocument([]byte("x"), []byte(text))); got != "x"+want {
			t.Errorf("%s becomes %s, want %s", text, got, "x"+want)
		}
		if text == `\u000` {
			continue // is no JSON
		}
		b := enginetest.NewBatch(device, n, 1)
		n++
		b.Records[0].Payload = fmt.Appendf(nil, `{"text":"%s"}`, text)
		if got := store(t, e, b); got[0].Err != nil || got[0].Duplicate {
			t.Errorf("%s: %+v", text, got[0])
		}
		if got := d.sql("SELECT count(*) FROM records WHERE payload = '{\"text\":\"" + want + "\"}'"); got == "0" {
			t.Errorf("%s is not stored as %s", text, want)
		}
	}
}

// TestConstraint: what somebody has set in the database is not taken for a fault of what comes: it is stored when that
// is gone.
func TestConstraint(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "constrained")
	e := d.start(t)
	store(t, e, enginetest.NewBatch(device, 0, 1))
	d.sql("ALTER TABLE records ADD CONSTRAINT wrong CHECK (codec = 'none') NOT VALID")
	b := enginetest.Sized(enginetest.NewBatch(device, 1, 4))
	if err := e.Store(t.Context(), 0, b); sqlState(err) != "23514" || !engine.IsTransient(err) || engine.IsAmbiguous(err) {
		t.Errorf("the constraint is said with %v", err)
	}
	d.sql("ALTER TABLE records DROP CONSTRAINT wrong")
	for _, r := range store(t, e, b) {
		if r.Err != nil || r.Duplicate {
			t.Errorf("%+v", r)
		}
	}
}

// TestInstancesInEachOthersWay stores the same records in two orders by several engines at once: the server ends some
// of the transactions, and each record is there once.
func TestInstancesInEachOthersWay(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off", "deadlock_timeout=10ms"), "races")
	const engines, batches, size = 3, 30, 40
	var running sync.WaitGroup
	var fresh [engines]int
	for n := range engines {
		e := d.start(t)
		running.Go(func() {
			for i := range batches {
				b := enginetest.NewBatch(device, i*size, size)
				if n%2 == 1 {
					for k := range size / 2 {
						b.Records[k], b.Records[size-1-k] = b.Records[size-1-k], b.Records[k]
					}
				}
				for {
					err := e.Store(context.Background(), 0, enginetest.Sized(b))
					if err == nil {
						break
					}
					if !engine.IsTransient(err) {
						t.Errorf("store: %v", err)
						return
					}
				}
				for _, r := range b.Results {
					if !r.Duplicate {
						fresh[n]++
					}
				}
			}
		})
	}
	running.Wait()
	want := fmt.Sprint(batches * size)
	if got := d.sql("SELECT count(*) FROM records"); got != want || fmt.Sprint(fresh[0]+fresh[1]+fresh[2]) != want {
		t.Errorf("%s records, %v of which were reported as new, want %s", got, fresh, want)
	}
}

// TestFirstInstances starts several at once in an empty database.
func TestFirstInstances(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "first")
	var running sync.WaitGroup
	for n := range 5 {
		e := d.start(t)
		running.Go(func() {
			if err := e.Store(context.Background(), 0, enginetest.NewBatch(device, n, 1)); err != nil {
				t.Errorf("store: %v", err)
			}
		})
	}
	running.Wait()
	if got := d.sql("SELECT count(*) FROM records"); got != "5" {
		t.Errorf("%s records", got)
	}
}

// TestNewerTables: a program leaves tables alone that a newer one has made.
func TestNewerTables(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "newer")
	store(t, d.start(t), enginetest.NewBatch(device, 0, 1))
	d.sql("UPDATE ingestion_state SET version = 99")
	err := d.start(t).Store(t.Context(), 0, enginetest.NewBatch(device, 1, 1))
	if err == nil || engine.IsTransient(err) {
		t.Errorf("stored with %v", err)
	}
}

// TestPlainRole serves as a role that owns its database and nothing more.
func TestPlainRole(t *testing.T) {
	server := testkit.StartPostgres(t, "fsync=off")
	server.SQL("CREATE ROLE ingestion LOGIN; CREATE DATABASE plain OWNER ingestion")
	e := startAt(t, strings.Replace(server.DatabaseURL("plain"), "postgres@", "ingestion@", 1),
		func(o *Options) { o.Retention = Elsewhere })
	e.opt.Retention = time.Hour
	store(t, e, enginetest.NewBatch(device, 0, 10))
	var conn *pgx.Conn
	defer func() { hangUp(conn) }()
	if err := e.careRound(t.Context(), &conn); err != nil || conn == nil {
		t.Errorf("take care of the partitions: %v", err)
	}
	e.full.Store(true)
	if status, err := e.Probe(t.Context()); err != nil || status.Length != 10 {
		t.Errorf("probe: %+v, %v", status, err)
	}
	if _, err := e.Inspect(t.Context()); err != nil {
		t.Errorf("inspect: %v", err)
	}
	if _, whole, err := e.LastRecords(t.Context(), device, 1); err != nil || !whole {
		t.Errorf("last records: %v", err)
	}
}
