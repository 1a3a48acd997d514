package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"

	"github.com/jackc/pgx/v5"
)

// TestReadersWaitForOpenTransactions has another program insert a record and commit it late: a tail that has shown
// nothing above it shows it first. A transaction that is open on another table holds up nobody.
func TestReadersWaitForOpenTransactions(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "gaps")
	e := d.start(t)
	store(t, e, enginetest.NewBatch(device, 0, 1))
	other := begin(t, d, "CREATE TABLE other (n int); INSERT INTO other VALUES (1)")
	late := begin(t, d, `INSERT INTO records (id, device_id, ts, hash, codec, payload)
		VALUES ('late', 'late', 0, 0, '8', '{"late": true}')`)
	store(t, e, enginetest.NewBatch(device, 1, 1))

	shown := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- e.Tail(ctx, true, func(payload []byte) error { shown <- string(payload); return nil })
	}()
	select {
	case got := <-shown:
		t.Fatalf("the tail shows %s while a transaction is open", got)
	case <-time.After(500 * time.Millisecond):
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false} {
		if got := <-shown; (got == `{"late":true}`) != want {
			t.Errorf("record %d is %s", i, got)
		}
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
}

// TestOpenTransactionHoldsUpOnlyWhatIsNew: a group is given what was settled before another program's transaction, and
// waits for the rest no longer than it is told to.
func TestOpenTransactionHoldsUpOnlyWhatIsNew(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "held")
	e := d.start(t)
	c, err := e.Consumer(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next := func(n int, wait time.Duration, want int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), wait+5*time.Second)
		defer cancel()
		if got, err := c.Next(ctx, n, wait); err != nil || len(got) != want {
			t.Errorf("%d records, %v, want %d", len(got), err, want)
		}
	}
	store(t, e, enginetest.NewBatch(device, 0, 10))
	next(1, time.Minute, 1)
	late := begin(t, d, `INSERT INTO records (id, device_id, ts, hash, codec, payload)
		VALUES ('late', 'late', 0, 0, '8', '{"late": true}')`)
	store(t, e, enginetest.NewBatch(device, 10, 5))
	next(4, time.Minute, 4)
	next(100, time.Minute, 5)
	next(100, 300*time.Millisecond, 0)
	c.(*consumer).horizon.since = time.Now().Add(-holdsLong)
	next(100, 0, 0)
	if c.(*consumer).held.Failure() == nil {
		t.Error("nobody is told who holds up the group")
	}
	if who := c.(*consumer).horizon.who(t.Context(), c.(*consumer).conn); !strings.Contains(who, "late-program") {
		t.Errorf("it waits for %q", who)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	next(100, time.Minute, 6)
}

// begin runs the statement in a transaction that stays open.
func begin(t *testing.T, d database, statement string) pgx.Tx {
	t.Helper()
	c, err := pgx.Connect(t.Context(), d.url()+"?application_name=late-program")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	tx, err := c.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}
