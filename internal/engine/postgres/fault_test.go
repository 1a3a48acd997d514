package postgres

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// openAt opens an engine that stores, and closes it with the test.
func openAt(t testing.TB, url string, change ...func(*Options)) *Engine {
	t.Helper()
	opt := Options{URL: url, Durability: Commit, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&opt)
	}
	e, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// crashTime is how long a test goes on with its faults: CRASH_TIME, or long enough for each of them once.
func crashTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CRASH_TIME")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CRASH_TIME: %v", err)
	}
	return d
}

// faults are what happens to a server while batches are stored. Each is over when it returns.
var faults = []struct {
	name  string
	do    func(p *testkit.Postgres)
	every int // rounds
}{
	{"kill -9", func(p *testkit.Postgres) { p.Kill(); p.Restart() }, 1},
	{"shut down by the administrator", func(p *testkit.Postgres) { p.Shutdown(); p.Restart() }, 1},
	{"connections ended by the administrator", func(p *testkit.Postgres) {
		p.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' " +
			"AND pid <> pg_backend_pid()")
	}, 1},
	{"kill -9, again", func(p *testkit.Postgres) { p.Kill(); p.Restart() }, 1},
	{"kill -9 of a process of the server's", func(p *testkit.Postgres) {
		// It ends all others, and recovers by itself.
		pid := p.SQL("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() " +
			"LIMIT 1")
		_ = exec.Command("kill", "-9", pid).Run()
	}, 1},
	{"statements cancelled", func(p *testkit.Postgres) {
		p.SQL("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' " +
			"AND pid <> pg_backend_pid()")
	}, 1},
	{"frozen for longer than an answer is waited for", func(p *testkit.Postgres) {
		p.Freeze()
		time.Sleep(answerPatience + time.Second) // the fault itself
		p.Thaw()
	}, 10},
}

// TestKillServerUnderLoad does each fault to a server that flushes before it confirms, while all lanes store records,
// dead letters and messages. What is confirmed is stored, in order and once.
func TestKillServerUnderLoad(t *testing.T) {
	t.Parallel()
	p := testkit.StartPostgres(t)
	l := startLedger(t, openAt(t, p.URL()))
	end, times := time.Now().Add(crashTime(t)), map[string]int{}
	for round := 1; round == 1 || time.Now().Before(end) && !t.Failed(); round++ {
		for _, fault := range faults {
			if round%fault.every != 0 {
				continue // the suite of all engines has a server that hangs
			}
			l.awaitProgress(t, 1+round%3)
			fault.do(p)
			times[fault.name]++
		}
	}
	l.awaitProgress(t, 2)
	t.Logf("faults: %v", times)
	l.settle(t, p.SQL)
}

// TestFailover kills the primary under load, again and again, and promotes its synchronous standby.
func TestFailover(t *testing.T) {
	t.Parallel()
	pair := testkit.StartPostgresPair(t)
	l := startLedger(t, openAt(t, pair.URL(), func(o *Options) { o.Durability = Replica }))
	long, rounds := crashTime(t), 0
	for end, more := time.Now().Add(long), true; more && !t.Failed(); more = time.Now().Before(end) {
		l.awaitProgress(t, 2)
		pair.Primary.Kill()
		pair.Promote()
		pair.Rejoin()
		rounds++
	}
	l.awaitProgress(t, 2)
	t.Logf("%d failovers", rounds)
	l.settle(t, pair.Primary.SQL)
}

// TestDiskFull has tables on a disk that fills up. Nothing is confirmed, the probe says why, and all goes on when there
// is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=32m"); err != nil {
		t.Fatalf("mount tmpfs (the tests need root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	p := testkit.StartPostgres(t)
	// The server's user has to get there.
	for dir := disk; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&1 == 0 {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := exec.Command("chown", "postgres", disk).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	p.SQL(fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", disk))
	p.SQL("CREATE DATABASE small TABLESPACE small")
	e := openAt(t, p.DatabaseURL("small"))
	l := startLedger(t, e)
	l.awaitProgress(t, 2)

	fill := filepath.Join(disk, "filler")
	if err := exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=4k", "status=none").Run(); err == nil {
		t.Fatal("there is room without end")
	}
	testkit.Succeeds(t, "the probe says that the disk is full", testkit.Timeout, func() error {
		_, err := e.Probe(t.Context())
		if err != nil && engine.IsTransient(err) && strings.Contains(err.Error(), "No space left") {
			return nil
		}
		return fmt.Errorf("it says %v", err)
	})
	full := l.count.Load()
	failed := l.failed.Load()
	testkit.Eventually(t, "more attempts", func() bool { return l.failed.Load() > failed+10 })
	if more := l.count.Load() - full; more > 0 {
		t.Logf("%d batches found room", more)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	l.awaitProgress(t, 1)
	testkit.Eventually(t, "the probe finds room", func() bool {
		_, err := e.Probe(t.Context())
		return err == nil
	})
	l.settle(t, func(statements string) string { return p.DatabaseSQL("small", statements) })
}

// TestTwoInstancesAndOneDevice has two engines store the same records at once, in another order of the devices, which
// makes transactions wait for each other. Each record is stored once, and one of the two says that it was new.
func TestTwoInstancesAndOneDevice(t *testing.T) {
	t.Parallel()
	p := testkit.StartPostgres(t, "fsync=off")
	var engines [2]*Engine
	for i := range engines {
		engines[i] = openAt(t, p.URL(), func(o *Options) { o.Lanes = 1 })
	}
	const rounds, count = 10, 100
	var fresh [2]int
	for round := range rounds {
		var storing sync.WaitGroup
		for i, e := range engines {
			storing.Go(func() { fresh[i] += storeBoth(t, e, i == 1, round*count, count) })
		}
		storing.Wait()
	}
	if sum := fresh[0] + fresh[1]; sum != 2*rounds*count {
		t.Errorf("%d and %d records were new, want %d in all", fresh[0], fresh[1], 2*rounds*count)
	}
	t.Logf("of the two instances, %d and %d records were new", fresh[0], fresh[1])
	if got, want := p.SQL("SELECT count(*), count(DISTINCT id) FROM records"),
		fmt.Sprintf("%[1]d|%[1]d", 2*rounds*count); got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	disorder := p.SQL("SELECT count(*) FROM (SELECT ts - lag(ts) OVER (PARTITION BY device_id ORDER BY seq) AS step " +
		"FROM records) AS s WHERE step < 0")
	if disorder != "0" {
		t.Errorf("%s records are out of order", disorder)
	}
}

// storeBoth stores records of two devices, and returns how many were new.
func storeBoth(t *testing.T, e *Engine, reverse bool, first, count int) (fresh int) {
	batches := []*engine.Batch{
		enginetest.NewBatch("356307042441013", first, count), enginetest.NewBatch("352093081452251", first, count),
	}
	if reverse {
		slices.Reverse(batches)
	}
	b := batches[0]
	b.Records = append(b.Records, batches[1].Records...)
	enginetest.Sized(b)
	testkit.Succeeds(t, "stored", testkit.Timeout, func() error {
		clear(b.Results)
		return e.Store(t.Context(), 0, b)
	})
	for _, result := range b.Results {
		if result.Err != nil {
			t.Errorf("an item is refused: %v", result.Err)
		}
		if !result.Duplicate {
			fresh++
		}
	}
	return fresh
}
