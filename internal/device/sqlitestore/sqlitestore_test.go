package sqlitestore

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/devicetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

func newStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := New(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // which may be closed already
	return s
}

func TestStore(t *testing.T) {
	devicetest.Run(t, func(t *testing.T) device.Store { return newStore(t, filepath.Dir(t.TempDir())) })
}

func TestStrangers(t *testing.T) {
	devicetest.RunStrangers(t, func(t *testing.T) stranger.Store { return newStore(t, filepath.Dir(t.TempDir())) })
}

func imei(n int) string { return fmt.Sprintf("%015d", 356307042000000+n) }

func save(t *testing.T, s *Store, imeis ...string) {
	t.Helper()
	var all []device.Kept
	for _, i := range imeis {
		all = append(all, device.Kept{IMEI: i, Model: "FMB120"})
	}
	if err := s.Save(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

// kept is how many of the devices are there.
func kept(t *testing.T, s *Store, imeis ...string) int {
	t.Helper()
	all, err := s.Load(t.Context(), imeis)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// pass has the file's clock go on.
func pass(t *testing.T, s *Store, d time.Duration) {
	t.Helper()
	_, err := sqlitefile.Transact(t.Context(), s.database, func(tx *sqlitefile.Tx) (none struct{}, err error) {
		return none, tx.Do("UPDATE retention_clock SET in_use_ms = in_use_ms + ?", d.Milliseconds())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A device goes when nothing was saved of it for long enough, by the time that the machine was up, and by nothing else.
func TestDevicesGoWithTime(t *testing.T) {
	const day = 24 * time.Hour
	s := newStore(t, t.TempDir())
	uptime := time.Duration(0)
	s.uptime = func() (string, time.Duration) { return "boot", uptime }
	save(t, s, imei(1), imei(2))
	pass(t, s, 29*day)
	save(t, s, imei(2))
	if n := kept(t, s, imei(1), imei(2)); n != 2 {
		t.Errorf("%d devices after 29 days", n)
	}
	pass(t, s, day+time.Hour)
	save(t, s, imei(3))
	if n := kept(t, s, imei(1)); n != 0 {
		t.Error("it is kept for more than 30 days")
	}
	if n := kept(t, s, imei(2), imei(3)); n != 2 {
		t.Errorf("%d devices of those saved since", n)
	}
	uptime += 10_000 * time.Hour // a leap
	save(t, s, imei(3))
	if n := kept(t, s, imei(2)); n != 1 {
		t.Error("a leap of the clock has removed a device")
	}
}

// Whoever makes devices up displaces the oldest, and the file does not grow.
func TestDevicesAreBounded(t *testing.T) {
	s := newStore(t, t.TempDir())
	s.most = 10
	save(t, s, imei(0), imei(1))
	for i := 2; i < 24; i++ {
		save(t, s, imei(i), imei(1))
	}
	var all []string
	for i := range 24 {
		all = append(all, imei(i))
	}
	if n := kept(t, s, all...); n != 10 {
		t.Errorf("%d devices are kept", n)
	}
	if kept(t, s, imei(1), imei(23)) != 2 || kept(t, s, imei(0)) != 0 {
		t.Error("another than the oldest had to go")
	}
}

func TestFileThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, dir)
	if _, err := s.Load(t.Context(), []string{imei(1)}); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	save(t, s, imei(1)) // without a restart
}

// Devices that have only logged in, as anybody can, go before all others, and are kept for a day.
func TestUnprovenDevicesGoFirst(t *testing.T) {
	s := newStore(t, t.TempDir())
	s.most = 5
	save(t, s, imei(0), imei(1))
	for i := 2; i < 20; i++ {
		p := &device.Presence{FirstSeen: device.Time{Time: time.Now()}}
		if err := s.Save(t.Context(), []device.Kept{{IMEI: imei(i), Presence: p}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := kept(t, s, imei(0), imei(1), imei(17), imei(18), imei(19)); n != 5 {
		t.Errorf("%d of the five", n)
	}
	pass(t, s, 25*time.Hour)
	save(t, s, imei(0))
	if n := kept(t, s, imei(1), imei(17), imei(18), imei(19)); n != 1 {
		t.Errorf("%d are kept, want only the one that is proven", n)
	}
}

// TestEarlierFile: a file of an earlier version gets what it lacks, and keeps what it has.
func TestEarlierFile(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{steps[0], "PRAGMA user_version = 1",
		"INSERT INTO devices VALUES ('" + imei(1) + "', x'01', 'FMB120', '03', 1, 5, 0, 1)"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, dir)
	got, err := s.Load(t.Context(), []string{imei(1)})
	if err != nil || len(got) != 1 || got[0].Model != "FMB120" || got[0].Presence != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := s.List(t.Context(), device.StateAll, "", 10); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	save(t, s, imei(1), imei(2))
}
