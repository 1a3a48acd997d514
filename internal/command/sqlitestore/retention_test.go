package sqlitestore

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// runs lets the store's machine be up for as long as the test says.
func runs(s *Store) (up func(time.Duration)) {
	uptime := time.Hour
	s.uptime = func() (string, time.Duration) { return "boot", uptime }
	return func(d time.Duration) { uptime += d }
}

func mustClean(t *testing.T, s *Store) {
	t.Helper()
	if err := s.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRetention removes what is old and final, and nothing else.
func TestRetention(t *testing.T) {
	for _, retention := range []time.Duration{0, time.Hour} {
		t.Run(retention.String(), func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, dir)
			s.retention = retention
			up := runs(s)
			submit(t, s, "old", "queued")
			finish(t, s, "old")
			if err := s.Publish(t.Context(), &command.Event{Message: *answer(deviceA)}); err != nil {
				t.Fatal(err)
			}
			mustClean(t, s)
			up(59 * time.Minute)
			submit(t, s, "new")
			finish(t, s, "new")
			mustClean(t, s)
			wantKnown(t, dir, "old", "queued", "new")
			up(time.Minute)
			mustClean(t, s)
			if retention == 0 {
				wantKnown(t, dir, "old", "queued", "new")
				return
			}
			wantKnown(t, dir, "queued", "new")
			if events := readEvents(t, dir); len(events) != 0 {
				t.Errorf("events are kept: %+v", events)
			}
			if _, err := s.Lookup(t.Context(), "old"); !errors.Is(err, command.ErrUnknown) {
				t.Errorf("lookup of a removed command: %v", err)
			}
		})
	}
}

// TestWrongWallClock has the wall clock run years ahead between two rounds: an id that is forgotten is carried out
// again.
func TestWrongWallClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir, "a")
		defer s.Close()
		s.retention = 720 * time.Hour
		submit(t, s, "first")
		begin(t, s, "first")
		finish(t, s, "first")
		if err := s.Publish(t.Context(), &command.Event{Message: *answer(deviceA)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			mustClean(t, s)
			time.Sleep(26 * 365 * 24 * time.Hour) // the bubble's clock, and not the machine's uptime
		}
	})
	wantKnown(t, dir, "first")
	if events := readEvents(t, dir); len(events) != 1 {
		t.Errorf("%d events are kept, want 1", len(events))
	}
	wantTurns(t, dir, 1)
}

// TestManyAreRemoved removes more than one transaction does, across restarts of the process.
func TestManyAreRemoved(t *testing.T) {
	dir := t.TempDir()
	uptime := time.Hour
	for day := range 4 {
		s := openStore(t, dir, "a")
		s.retention = 48 * time.Hour
		s.uptime = func() (string, time.Duration) { return "boot", uptime }
		if day == 0 {
			fill := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
				INSERT INTO commands SELECT NULL, i, '', 12, '', '', 0, 0, 0, 0, 0, 'expired', 0, NULL, NULL, 0, NULL, NULL,
					'', '', '', 0, '', '', NULL, NULL, '' FROM n`
			if _, err := transact(t.Context(), s, func(tx *transaction) (none struct{}, err error) {
				return none, tx.Do(fill, 2*cleanPage+7)
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			mustClean(t, s)
			uptime += time.Hour
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantKnown(t, dir)
}

func wantTurns(t *testing.T, dir string, want int) {
	t.Helper()
	var turns int
	each(t, dir, "SELECT count(*) FROM turns", func(scan func(into ...any)) { scan(&turns) })
	if turns != want {
		t.Errorf("%d turns, want %d", turns, want)
	}
}

// TestLeaseGoesWithItsCommand keeps a lease for as long as its command, whatever the wall clock says, and no longer.
func TestLeaseGoesWithItsCommand(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.retention = time.Minute
	up := runs(s)
	now := time.Now()
	s.now = func() time.Time { return now }
	submit(t, s, "first")
	begin(t, s, "first")
	finish(t, s, "first")
	for _, want := range []int{1, 1, 0} {
		mustClean(t, s)
		wantTurns(t, dir, want)
		now = now.Add(1000 * time.Hour)
		up(leastKept / 2)
	}
	wantKnown(t, dir)
}

// TestOlderFile opens a file of version 1.
func TestOlderFile(t *testing.T) {
	dir := t.TempDir()
	db := connect(t, dir)
	script := schema + `PRAGMA journal_mode = WAL; PRAGMA user_version = 1;
		INSERT INTO turns VALUES ('` + deviceA + `', 'gone', 0, 0);
		INSERT INTO events (received_at, imei, kind, command, codec, type, named, sent, payload, encoding, size)
			VALUES (0, '', '', '', 12, 6, '', 0, '', '', 0);
		INSERT INTO commands (id, imei, codec, payload, encoding, timeout_ms, created_at, expires_at, idempotent, confirm,
				state, attempts, finished_at, reason, instance, run)
			VALUES ('old', '` + deviceA + `', 12, '', 'text', 0, 0, 0, 0, 0, 'expired', 0, 0, '', '', '')`
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	s.retention = time.Hour
	up := runs(s)
	for _, want := range [][]string{{"old", "new"}, {}} {
		if len(want) > 0 {
			submit(t, s, "new")
			finish(t, s, "new")
		}
		mustClean(t, s)
		wantKnown(t, dir, want...)
		up(time.Hour)
	}
	wantTurns(t, dir, 0)
	if events := readEvents(t, dir); len(events) != 0 {
		t.Errorf("%d events are kept", len(events))
	}
}
