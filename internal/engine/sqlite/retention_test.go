package sqlite

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// TestRetention lets the clock run and looks at what is left.
func TestRetention(t *testing.T) {
	e := start(t)
	clock := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	e.now = func() time.Time { return clock }
	e.retention = time.Hour
	storeAt := func(after time.Duration, first int) {
		t.Helper()
		clock = clock.Add(after)
		b := enginetest.NewBatch(device, first, 1200)
		b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, first), enginetest.NewDeadLetter(device, first+1)}
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
	clock = clock.Add(time.Minute)
	maintain(t, e)
	wantLeft("after an hour", 1201, 3600, 4)
	if status, err := e.Probe(t.Context()); err != nil || status.Length != 2400 {
		t.Errorf("probe: %+v, %v", status, err)
	}
	clock = clock.Add(24 * time.Hour)
	maintain(t, e)
	wantLeft("after a day", 3600, 3600, 1)
	if marks := query[int64](t, e.path, "SELECT stored_at FROM retention"); len(marks) != 1 {
		t.Errorf("%d marks are left, want 1", len(marks))
	}
	storeAt(time.Minute, 5000)
	wantLeft("with new records", 3601, 4800, 2)
}

// maintain runs one round of the background work, which must not fail.
func maintain(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.deleteOld(t.Context()); err != nil {
		t.Fatalf("delete old records: %v", err)
	}
}

// TestRetentionWithoutClock does nothing before the clock is set, and keeps all for ever if asked.
func TestRetentionWithoutClock(t *testing.T) {
	e := start(t)
	storeAll(t, e, enginetest.NewBatch(device, 0, 100))
	e.retention = time.Hour
	e.now = func() time.Time { return time.Unix(3600, 0) }
	maintain(t, e)
	e.now = func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }
	maintain(t, e)
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 100).Records...)

	e.retention = 0
	e.now = func() time.Time { return time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC) }
	e.maintain(t.Context())
	wantStored(t, e.path, enginetest.NewBatch(device, 0, 100).Records...)
}
