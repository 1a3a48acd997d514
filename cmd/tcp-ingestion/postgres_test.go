package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// postgresStore starts a PostgreSQL server, which flushes to its disk before it confirms.
func postgresStore(t testing.TB) store {
	p := testkit.StartPostgres(t)
	return postgresAt(t, p.URL(), p.TrySQL)
}

// postgresAt is a store at a URL, read by the server's own client.
func postgresAt(t testing.TB, url string, sql func(url, statements string) (string, error)) store {
	lines := func(t testing.TB, statements string) []string {
		t.Helper()
		rows, err := sql(url, statements)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(rows, "\n")
	}
	return store{
		name:     "postgres",
		settings: map[string]string{"ENGINE": "postgres", "POSTGRES_URL": url, "DATA_DIR": t.TempDir()},
		payloads: func(t testing.TB) []string {
			t.Helper()
			return lines(t, `SELECT payload FROM records ORDER BY seq`)
		},
		messages: func(t testing.TB) []string {
			t.Helper()
			return lines(t, `SELECT device_id || '-' || payload FROM messages ORDER BY seq`)
		},
	}
}

// postgresFaults are what happens to servers of which one is the other's synchronous standby. Each is over when it
// returns.
var postgresFaults = []struct {
	name string
	do   func(t *testing.T, p *testkit.PostgresPair, s *server)
}{
	{"kill -9 of the primary, the standby promoted", func(_ *testing.T, p *testkit.PostgresPair, _ *server) {
		p.Primary.Kill()
		p.Promote()
		p.Rejoin()
	}},
	{"kill -9 of the primary, and its restart", func(_ *testing.T, p *testkit.PostgresPair, _ *server) {
		p.Primary.Kill()
		p.Primary.Restart()
		p.AwaitStandby()
	}},
	{"shut down by the administrator, and started", func(_ *testing.T, p *testkit.PostgresPair, _ *server) {
		p.Primary.Shutdown()
		p.Primary.Restart()
		p.AwaitStandby()
	}},
	{"the standby dead", func(t *testing.T, p *testkit.PostgresPair, s *server) {
		p.Standby.Kill()
		wantUnready(t, s, "standby")
		p.Standby.Restart()
		p.AwaitStandby()
	}},
	{"the primary frozen", func(t *testing.T, p *testkit.PostgresPair, s *server) {
		p.Primary.Freeze()
		wantUnready(t, s, "")
		p.Primary.Thaw()
		p.AwaitStandby()
	}},
}

// wantUnready waits until the server says that it cannot store, and why.
func wantUnready(t *testing.T, s *server, why string) {
	t.Helper()
	testkit.EventuallyIn(t, "not ready", readySoon, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, why)
	})
}

// TestKillPostgres does to a primary and its synchronous standby, under load, what happens to such servers. The service
// stays up; nothing acknowledged is lost, nothing is stored twice, each device's records are in order, and ACKs come
// soon after the cure.
func TestKillPostgres(t *testing.T) {
	t.Parallel()
	faults, end := postgresFaults[:1], time.Now()
	if os.Getenv("CRASH_TIME") != "" {
		faults, end = postgresFaults, end.Add(crashTime(t))
	}
	pair := testkit.StartPostgresPair(t)
	store := postgresAt(t, pair.URL(), pair.Primary.TrySQL)
	store.settings["POSTGRES_DURABILITY"] = "replica"
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 40, func(o *simulate.Options) {
		chatty(o)
		o.Rate, o.ResponseTimeout = 1000, 10*time.Second
	})
	rounds := 0
	for more := true; more; more = time.Now().Before(end) {
		for _, fault := range faults {
			f.awaitProgress(t, 500)
			stall := f.longestStall(t, func() {
				fault.do(t, pair, s)
				cured := time.Now()
				f.awaitProgress(t, 500)
				wantSoon(t, fault.name, cured)
			})
			rounds++
			t.Logf("%s: at most %v without an ACK", fault.name, stall.Round(100*time.Millisecond))
		}
	}
	f.endWith(t, s)
	t.Logf("%d faults", rounds)
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
	store.wantMessages(t, f.messages())
}

// TestKillServerOnPostgres is TestKillServer where the database knows what is sent again.
func TestKillServerOnPostgres(t *testing.T) {
	t.Parallel()
	store := postgresStore(t)
	f := store.killServer(t, 40, crashTimeOr(t, 3*time.Second))
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
	store.wantMessages(t, f.messages())
}
