package postgres

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func replica(o *Options) { o.Durability = Replica }

// TestClasses concludes what survives what from the server's settings.
func TestClasses(t *testing.T) {
	server := testkit.StartPostgres(t, "fsync=off")
	d := newDatabase(t, server, "classes")
	inspect := func(e *Engine) engine.Durability {
		t.Helper()
		got, err := e.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := inspect(d.start(t)); got.Class != engine.MemoryOnly || len(got.Warnings) != 1 {
		t.Errorf("without fsync: %+v", got)
	}
	_, err := d.start(t, replica).Inspect(t.Context())
	if !errors.Is(err, engine.ErrDurability) {
		t.Errorf("replica without a standby: %v", err)
	}
	err = d.start(t, replica).Store(t.Context(), 0, enginetest.NewBatch(device, 0, 1))
	if !errors.Is(err, engine.ErrDurability) || !engine.IsTransient(err) {
		t.Errorf("stored without a standby: %v", err)
	}
	server.Restart("fsync=on", "synchronous_commit=off")
	if got := inspect(d.start(t)); got.Class != engine.Fsynced || len(got.Warnings) != 0 {
		t.Errorf("a server that does not wait for its disk is not told to: %+v", got)
	}
}

// TestConfirmedOnlyWithStandby stores through the loss of the primary: nothing confirmed is lost, the numbers go on
// above those that the old primary gave, and while no standby confirms, nothing is confirmed and the probe says why.
func TestConfirmedOnlyWithStandby(t *testing.T) {
	pair := testkit.StartPostgresPair(t, "fsync=off")
	e := startAt(t, pair.URL(), replica)
	if got, err := e.Inspect(t.Context()); err != nil || got.Class != engine.Replicated {
		t.Fatalf("%+v, %v", got, err)
	}
	store(t, e, enginetest.NewBatch(device, 0, 10))
	pair.Primary.Kill()
	pair.Promote()

	testkit.Succeeds(t, "the reason why nothing is stored", testkit.Timeout, func() error {
		if _, err := e.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "standby") {
			return errors.New("the probe does not say that there is no standby")
		}
		return nil
	})
	b := enginetest.Sized(enginetest.NewBatch(device, 5, 10))
	if err := e.Store(t.Context(), 0, b); err == nil || !engine.IsTransient(err) {
		t.Fatalf("stored without a standby: %v", err)
	}
	pair.Rejoin()
	testkit.Succeeds(t, "the batch behind the failover", testkit.Timeout, func() error {
		return e.Store(t.Context(), 0, enginetest.Sized(b))
	})
	testkit.Succeeds(t, "a good probe", testkit.Timeout, func() error {
		_, err := e.Probe(t.Context())
		return err
	})
	got := strings.Split(pair.Primary.SQL("SELECT count(*), min(seq), max(seq) FROM records"), "|")
	newest, _ := strconv.Atoi(got[2])
	if got[0] != "15" || got[1] != "1" || newest < numbersLost {
		t.Errorf("records, first and last seq: %v", got)
	}
	if got := pair.Standby.SQL("SELECT count(*) FROM records"); got != "15" {
		t.Errorf("the standby has %s records", got)
	}
}

// TestStoredWithoutStandby: what a transaction has left behind that was given up while it waited for the standby is not
// taken for stored before the standby has it.
func TestStoredWithoutStandby(t *testing.T) {
	pair := testkit.StartPostgresPair(t, "fsync=off")
	e := startAt(t, pair.URL(), replica)
	e.patience = time.Second
	store(t, e, enginetest.NewBatch(device, 0, 1))
	pair.Standby.Freeze()
	b := enginetest.Sized(enginetest.NewBatch(device, 1, 10))
	for range 2 {
		if err := e.Store(t.Context(), 0, b); err == nil || !engine.IsTransient(err) {
			t.Fatalf("stored, while the standby is frozen: %v", err)
		}
	}
	pair.Standby.Thaw()
	testkit.Succeeds(t, "the batch", testkit.Timeout, func() error {
		return e.Store(t.Context(), 0, enginetest.Sized(b))
	})
	if got := pair.Primary.SQL("SELECT count(*) FROM records"); got != "11" {
		t.Errorf("%s records", got)
	}
}

// TestStandbysNoLongerSet: when the setting of the standbys is cleared, the server confirms what waits for them. It is
// not taken for stored, neither as a new batch nor as one that is found stored.
func TestStandbysNoLongerSet(t *testing.T) {
	server := testkit.StartPostgres(t, "fsync=off")
	d := newDatabase(t, server, "cleared")
	store(t, d.start(t), enginetest.NewBatch(device, 0, 1)) // the tables are made
	for _, first := range []int{1, 0} {
		server.SQL("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
		server.SQL("SELECT pg_reload_conf()")
		testkit.Eventually(t, "the setting", func() bool { return server.SQL("SHOW synchronous_standby_names") == "nobody" })
		e := d.start(t, replica)
		e.patience = 20 * time.Second
		stored := make(chan error)
		go func() { stored <- e.Store(t.Context(), 0, enginetest.NewBatch(device, first, 1)) }()
		testkit.Eventually(t, "a commit that waits", func() bool {
			return server.SQL("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
		})
		server.SQL("SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names")
		server.SQL("SELECT pg_reload_conf()")
		if err := <-stored; !errors.Is(err, engine.ErrDurability) || !engine.IsAmbiguous(err) {
			t.Errorf("without a standby, batch %d is stored with %v", first, err)
		}
	}
}
