package postgres

import (
	"errors"
	"fmt"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestTurnLostAndHadAgain gives again what was in hand when the turn was lost, also if the other has committed nothing.
func TestTurnLostAndHadAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "turn")
	e := d.start(t)
	store(t, e, enginetest.NewBatch(device, 0, 5))
	members := make([]*consumer, 2)
	for i := range members {
		c, err := e.Consumer(t.Context(), "forward")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		members[i] = c.(*consumer)
	}
	first, second := members[0], members[1]
	take := func(c *consumer) {
		t.Helper()
		testkit.Succeeds(t, "the records", testkit.Timeout, func() error {
			got, err := c.Next(t.Context(), 5, 0)
			if err == nil && len(got) != 5 {
				err = fmt.Errorf("%d are given", len(got))
			}
			return err
		})
	}
	hold := func() error { // once the lost connection is noticed
		err := first.Holds(t.Context())
		if err != nil && !errors.Is(err, engine.ErrTurn) {
			err = first.Holds(t.Context())
		}
		return err
	}
	take(first)
	d.sql(fmt.Sprintf("SELECT pg_terminate_backend(%d, 5000)", first.conn.PgConn().PID()))
	if err := hold(); err != nil {
		t.Fatalf("the turn that nobody has had is not held: %v", err)
	}
	d.sql(fmt.Sprintf("SELECT pg_terminate_backend(%d, 5000)", first.conn.PgConn().PID()))
	take(second)
	if err := hold(); !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("another's turn is held: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	take(first)
}
