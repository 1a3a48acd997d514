package retention

import (
	"database/sql"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// newClock returns how to advance a new clock.
func newClock(t *testing.T) (advance func(boot string, uptime time.Duration) time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	for range 2 { // the second time changes nothing
		if _, err := db.Exec(Schema); err != nil {
			t.Fatal(err)
		}
	}
	return func(boot string, uptime time.Duration) time.Duration {
		t.Helper()
		var ms int64
		if err := db.QueryRow(Advance, boot, uptime.Milliseconds()).Scan(&ms); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
}

// TestClock goes through what happens to machines.
func TestClock(t *testing.T) {
	advance := newClock(t)
	for _, step := range []struct {
		what   string
		boot   string
		uptime time.Duration
		want   time.Duration
	}{
		{"the first use", "a", 100 * time.Hour, 0},
		{"a minute later", "a", 100*time.Hour + time.Minute, time.Minute},
		{"another process at the same time", "a", 100*time.Hour + time.Minute, time.Minute},
		{"one that had looked before it", "a", 100 * time.Hour, time.Minute},
		{"and a minute after that", "a", 100*time.Hour + 2*time.Minute, 2 * time.Minute},
		{"after a restart of 10 minutes", "a", 100*time.Hour + 12*time.Minute, 12 * time.Minute},
		{"after a weekend of sleep", "a", 160 * time.Hour, 12*time.Minute + MaxStep},
		{"just booted", "b", 30 * time.Second, 12*time.Minute + MaxStep},
		{"a minute later", "b", 90 * time.Second, 13*time.Minute + MaxStep},
		{"on another machine, long up", "c", 9000 * time.Hour, 13*time.Minute + MaxStep},
		{"back again", "b", 10 * time.Hour, 13*time.Minute + MaxStep},
	} {
		if is := advance(step.boot, step.uptime); is != step.want {
			t.Fatalf("%s: the clock says %v, want %v", step.what, is, step.want)
		}
	}
}

// TestUptime is about this machine.
func TestUptime(t *testing.T) {
	boot, before := Uptime()
	start := time.Now()
	for time.Since(start) < 5*time.Millisecond {
	}
	again, after := Uptime()
	if boot == "" || again != boot {
		t.Errorf("this boot is called %q and then %q", boot, again)
	}
	if passed := after - before; passed < 5*time.Millisecond || passed > time.Minute {
		t.Errorf("in 5 ms the uptime grew by %v", passed)
	}
}
