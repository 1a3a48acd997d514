package sqlite

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// runs lets the engine's machine be up for as long as the test says.
func runs(e *Engine) (up func(time.Duration)) {
	uptime := time.Hour
	e.uptime = func() (string, time.Duration) { return "boot", uptime }
	return func(d time.Duration) { uptime += d }
}

// TestRetention lets time pass and looks at what is left.
func TestRetention(t *testing.T) {
	e := start(t)
	up := runs(e)
	e.retention = time.Hour
	storeAt := func(after time.Duration, first int) {
		t.Helper()
		up(after)
		b := enginetest.NewBatch(device, first, 1200)
		b.DeadLetters = []engine.DeadLetter{
			enginetest.NewDeadLetter(device, first),
			enginetest.NewDeadLetter(device, first+1),
		}
		b.Messages = []engine.Message{enginetest.NewMessage(device, first), enginetest.NewMessage(device, first+1)}
		storeAll(t, e, enginetest.Sized(b))
		maintain(t, e)
	}
	left := func() (seqs []int64, dead int) {
		t.Helper()
		seqs = query[int64](t, e.path, "SELECT seq FROM records ORDER BY seq")
		dead = len(query[int64](t, e.path, "SELECT seq FROM dead_letters"))
		if n := len(query[int64](t, e.path, "SELECT seq FROM messages")); n != dead {
			t.Errorf("%d messages are left and %d dead letters", n, dead)
		}
		return seqs, dead
	}
	wantLeft := func(when string, first, last int64, wantDead int) {
		t.Helper()
		seqs, dead := left()
		if seqs[0] != first || seqs[len(seqs)-1] != last || int64(len(seqs)) != last-first+1 || dead != wantDead {
			t.Errorf("%s: records %d to %d (%d) and %d dead letters are left, want %d to %d and %d",
				when, seqs[0], seqs[len(seqs)-1], len(seqs), dead, first, last, wantDead)
		}
	}
	storeAt(0, 0)
	storeAt(30*time.Minute, 1200)
	storeAt(29*time.Minute, 2400)
	wantLeft("after 59 minutes", 1, 3600, 6)
	up(time.Minute)
	maintain(t, e)
	wantLeft("after an hour", 1201, 3600, 4)
	if status, err := e.Probe(t.Context()); err != nil || status.Length != 2400 {
		t.Errorf("probe: %+v, %v", status, err)
	}
	up(time.Hour)
	maintain(t, e)
	wantLeft("after two hours", 3600, 3600, 1)
	if marks := query[int64](t, e.path, "SELECT in_use_ms FROM marks"); len(marks) != 1 {
		t.Errorf("%d marks are left, want 1", len(marks))
	}
	storeAt(time.Minute, 5000)
	wantLeft("with new records", 3601, 4800, 2)
}

// TestKeptForEver is what a retention of 0 means.
func TestKeptForEver(t *testing.T) {
	e := start(t)
	up := runs(e)
	storeAll(t, e, enginetest.NewBatch(device, 0, 100))
	for range 3 {
		up(time.Hour)
		e.maintain(t.Context())
	}
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 100).Records...)
}

// TestWrongWallClock runs rounds of maintenance under a wall clock that is a month ahead for a minute, or that was 40
// days behind until NTP set it. In truth the test takes a second, so nothing is old.
func TestWrongWallClock(t *testing.T) {
	for name, steps := range map[string][]time.Duration{
		"ahead for a minute":    {0, 31 * 24 * time.Hour, time.Minute},
		"behind until NTP came": {time.Minute, 40 * 24 * time.Hour, 40 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(27 * 365 * 24 * time.Hour) // a bubble's clock begins in the year 2000
				e := newEngine(
					filepath.Join(dir, FileName),
					Options{Retention: 720 * time.Hour, Logger: slog.New(slog.DiscardHandler)},
				)
				defer e.Close()
				for i, step := range steps {
					storeAll(t, e, enginetest.NewBatch(device, 1000*i, 1000))
					maintain(t, e)
					time.Sleep(step)
					maintain(t, e)
				}
				wantStored(t, e.path, enginetest.NewBatch(device, 0, 3000).Records...)
			})
		})
	}
}

// machine has a true time, which no program can read, and an uptime.
type machine struct {
	*rand.Rand
	time, uptime time.Duration
	boots        int
}

// passes lets time pass for a running machine.
func (m *machine) passes(d time.Duration) {
	m.time += d
	m.uptime += d
}

// lives lets happen what happens to machines, half of the time nothing but a minute's round.
func (m *machine) lives() {
	switch m.IntN(8) {
	case 0: // the service is restarted, or hangs
		m.passes(time.Duration(m.IntN(300)) * time.Minute)
	case 1: // switched off, for a moment or for days
		m.time += time.Duration(m.IntN(72*60)) * time.Minute
		m.boots++
		m.uptime = time.Duration(m.IntN(3600)) * time.Second
	case 2: // paused: no clock of the machine knows
		m.time += time.Duration(m.IntN(600)) * time.Minute
	case 3: // what it says jumps back
		m.uptime -= min(m.uptime, time.Duration(m.IntN(90))*time.Minute)
	default:
		m.passes(time.Minute)
	}
}

// TestNothingIsDeletedTooEarly takes machines through random lives. By true time no record is deleted before the
// retention is over; and when nothing but time passes any more, everything is that is older.
func TestNothingIsDeletedTooEarly(t *testing.T) {
	const keep = 5 * time.Hour
	for seed := range uint64(6) {
		m := &machine{Rand: rand.New(rand.NewPCG(seed, 1)), uptime: time.Hour}
		engines := []*Engine{start(t), nil} // two processes may have the file at a time
		engines[1] = startIn(t, filepath.Dir(engines[0].path))
		for _, e := range engines {
			e.retention = keep
			e.uptime = func() (string, time.Duration) { return fmt.Sprint("boot ", m.boots), m.uptime }
		}
		var stored []time.Duration // when, by seq-1
		step := func() {
			t.Helper()
			e := engines[m.IntN(2)]
			storeAll(t, e, enginetest.NewBatch(device, len(stored), 1))
			stored = append(stored, m.time)
			if m.IntN(4) > 0 { // else stored between two rounds
				maintain(t, e)
			}
			kept := query[int64](t, e.path, "SELECT min(seq) FROM records")[0]
			if first := int(kept) - 1; first > 0 && m.time-stored[first-1] < keep {
				t.Fatalf("seed %d: at %v the record of %v is gone", seed, m.time, stored[first-1])
			}
		}
		for range 120 {
			step()
			m.lives()
		}
		quiet := len(stored)
		m.boots, m.uptime = m.boots+1, 0
		for end := m.time + keep + time.Hour; m.time < end; m.passes(20 * time.Minute) {
			maintain(t, engines[0])
			step()
		}
		maintain(t, engines[1])
		if oldest := query[int64](t, engines[0].path, "SELECT min(seq) FROM records")[0]; int(oldest) <= quiet {
			t.Errorf("seed %d: %d records of before are kept for longer", seed, quiet-int(oldest)+1)
		}
	}
}

// TestRestartedDaily has a machine that is switched off at night, or a process that is killed every day: what is old
// goes all the same.
func TestRestartedDaily(t *testing.T) {
	for _, reboots := range []bool{true, false} {
		dir := t.TempDir()
		m := &machine{uptime: time.Hour}
		for day := range 5 {
			e := openEngine(t, filepath.Join(dir, FileName))
			e.retention = 48 * time.Hour
			e.uptime = func() (string, time.Duration) { return fmt.Sprint("boot ", m.boots), m.uptime }
			storeAll(t, e, enginetest.NewBatch(device, 100*day, 100))
			for range 48 {
				maintain(t, e)
				m.passes(30 * time.Minute)
			}
			maintain(t, e)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if reboots {
				m.boots, m.uptime = m.boots+1, time.Minute
			}
		}
		if first := query[int64](t, filepath.Join(dir, FileName), "SELECT min(seq) FROM records")[0]; first != 401 {
			t.Errorf("reboots %t: the records from %d are kept, want 401", reboots, first)
		}
	}
}

// TestUptimeOfThisMachine marks by it what is stored.
func TestUptimeOfThisMachine(t *testing.T) {
	e := start(t)
	e.retention = time.Nanosecond
	storeAll(t, e, enginetest.NewBatch(device, 0, 10))
	for deadline := time.Now().Add(time.Minute); ; maintain(t, e) {
		if left := query[int64](t, e.path, "SELECT count(*) FROM records")[0]; left == 1 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d records are left, want the newest only", left)
		}
	}
}

// maintain runs one round of the background work, which must not fail.
func maintain(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.deleteOld(t.Context()); err != nil {
		t.Fatalf("delete old records: %v", err)
	}
}

// empty has another client remove rows of all tables.
func empty(t *testing.T, path, where string) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	for _, table := range tables {
		if _, err := db.ExecContext(t.Context(), "DELETE FROM "+table.name+" WHERE "+where); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFreshRowsAreKeptAfterAClientRemovedTheNewest has another client remove the newest rows, or all. What is stored
// afterwards gets no seq of theirs, so no reader misses it, and no mark that was made of them dates it back.
func TestFreshRowsAreKeptAfterAClientRemovedTheNewest(t *testing.T) {
	for _, where := range []string{"true", "seq > 20"} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprint(where, ", restarts ", restarts), func(t *testing.T) {
				dir := t.TempDir()
				e := startIn(t, dir)
				up := runs(e)
				e.retention = time.Hour
				storeMixed := func(first, n int) {
					t.Helper()
					b := enginetest.NewBatch(device, first, n)
					for i := range n {
						b.DeadLetters = append(b.DeadLetters, enginetest.NewDeadLetter(device, first+i))
						b.Messages = append(b.Messages, enginetest.NewMessage(device, first+i))
					}
					storeAll(t, e, enginetest.Sized(b))
				}
				storeMixed(0, 100)
				maintain(t, e) // marks the first hundred
				storeMixed(100, 50)
				empty(t, e.path, where)
				if restarts {
					e = startIn(t, dir)
					up = runs(e)
					e.retention = time.Hour
				}
				up(59 * time.Minute)
				storeMixed(1000, 20) // more than a statement's rows, and some more
				up(2 * time.Minute)
				maintain(t, e)
				for _, table := range tables {
					seqs := query[int64](t, e.path, "SELECT seq FROM "+table.name+" ORDER BY seq")
					if len(seqs) != 20 || seqs[0] != 151 || seqs[19] != 170 {
						t.Errorf("%s: %d of 20 fresh rows are left, with seqs %d", table.name, len(seqs), seqs)
					}
				}
			})
		}
	}
}

// TestFileInWhichSeqsWereGivenAgain was written by an earlier version, after a client had emptied its tables: nobody
// knows how old its rows are, so they count as new.
func TestFileInWhichSeqsWereGivenAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	storeAll(t, startIn(t, dir), enginetest.NewBatch(device, 0, 10))
	db := connect(t, path)
	defer db.Close()
	const asBefore = `DROP TABLE record_newest; DROP TABLE message_total;
		INSERT INTO marks VALUES (0, 1000, 0, 0); PRAGMA user_version = 3`
	if _, err := db.ExecContext(t.Context(), asBefore); err != nil {
		t.Fatal(err)
	}
	e := startIn(t, dir)
	up := runs(e)
	e.retention = time.Hour
	maintain(t, e)
	up(59 * time.Minute)
	maintain(t, e)
	wantStored(t, path, enginetest.NewBatch(device, 0, 10).Records...)
	storeAll(t, e, enginetest.NewBatch(device, 10, 1))
	if newest := query[int64](t, path, "SELECT max(seq) FROM records")[0]; newest != 1001 {
		t.Errorf("the next record has the seq %d, want one that no mark covers", newest)
	}
}
