package main

import (
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// crashTime is how long each of the crash tests goes on killing: CRASH_TIME, or long enough for a dozen rounds.
func crashTime(t *testing.T) time.Duration { return crashTimeOr(t, 15*time.Second) }

// crashTimeOr is CRASH_TIME, or that long.
func crashTimeOr(t *testing.T, short time.Duration) time.Duration {
	text := os.Getenv("CRASH_TIME")
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CRASH_TIME: %v", err)
	}
	return d
}

// wantSoon fails if there are ACKs again only long after the cure of a fault. How long that takes on a machine that has
// much else to do says nothing, so it is asked when CRASH_TIME is set.
func wantSoon(t *testing.T, fault string, cured time.Time) {
	t.Helper()
	if after := time.Since(cured); os.Getenv("CRASH_TIME") != "" && after > 15*time.Second {
		t.Errorf("%s: no ACKs for %v after the cure", fault, after.Round(time.Second))
	}
}

// awaitProgress waits until the fleet has got so many more records acknowledged.
func (f *fleet) awaitProgress(t testing.TB, records int) {
	t.Helper()
	from := f.count()
	testkit.Eventually(t, "the fleet gets ACKs", func() bool { return f.count() >= from+records })
}

func moderate(o *simulate.Options) {
	o.Rate, o.Backlog = 5000, 200
	o.RecordsPerFrame = simulate.Range{Min: 1, Max: 20}
}

// chatty is moderate with messages between the frames.
func chatty(o *simulate.Options) {
	moderate(o)
	o.Messages = 600 // a minute and device
}

// TestKillServer kills the server under load, again and again. What it had acknowledged is stored: on the embedded
// engine and on Redis once, though a new process has not written what the killed one had, on Kafka at least once.
func TestKillServer(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore, kafkaStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			f := store.killServer(t, 80, crashTime(t))
			store.wantAll(t, f.acknowledged(), store.name == "kafka")
			store.wantMessages(t, f.messages())
		})
	}
}

// TestKillServerOnReplicas is TestKillServer where several servers keep the stream: what devices send again is known by
// their marks, wherever these are by now.
func TestKillServerOnReplicas(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { s, _ := sentinelStore(t); return s },
		func(t testing.TB) store { s, _ := clusterStore(t); return s },
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			f := store.killServer(t, 40, crashTimeOr(t, 3*time.Second))
			store.wantAll(t, f.acknowledged(), false)
			store.wantMessages(t, f.messages())
		})
	}
}

// killServer kills a server on the store, again and again, under devices that send records and messages. It returns the
// fleet, which has ended.
func (s store) killServer(t *testing.T, devices int, during time.Duration) *fleet {
	t.Helper()
	first := startServer(t, s.settings)
	settings := maps.Clone(s.settings)
	_, settings["TELTONIKA_PORT"], _ = strings.Cut(first.devices, ":")
	f := startFleet(t, first.devices, devices, chatty)
	f.amidKills(t, first, settings, during)
	return f
}

// amidKills kills the server under the fleet and starts it again with these settings, for so long, and ends both.
func (f *fleet) amidKills(t *testing.T, s *server, settings map[string]string, during time.Duration) {
	t.Helper()
	rounds := 0
	for end := time.Now().Add(during); time.Now().Before(end); rounds++ {
		f.awaitProgress(t, 500+rounds*37%500)
		s.kill()
		s = startServer(t, settings)
	}
	f.awaitProgress(t, 500)
	f.endWith(t, s)
	t.Logf("%d kills", rounds)
}

// TestKillRedis kills redis-server under load and starts it again from its append-only file, which is fsynced
// before each answer. The server stays up, finds out what it had stored of the batches that were cut off, and
// publishes nothing twice.
func TestKillRedis(t *testing.T) {
	t.Parallel()
	store := redisStore(t, "--appendonly", "yes", "--appendfsync", "always")
	store.settings["REDIS_DURABILITY"] = "fsync"
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 80, chatty)
	rounds := 0
	for end := time.Now().Add(crashTime(t)); time.Now().Before(end); rounds++ {
		f.awaitProgress(t, 1000)
		store.redis.Kill()
		store.redis.Restart()
	}
	f.awaitProgress(t, 1000)
	f.endWith(t, s)
	t.Logf("%d kills", rounds)
	store.wantAll(t, f.acknowledged(), false)
	store.wantMessages(t, f.messages())
}

// TestFreezeRedis stops redis-server without closing its connections. Nothing is acknowledged meanwhile, readiness
// says so and recovers, and what Redis stores late is not stored again when the devices resend it.
func TestFreezeRedis(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	store.settings["PUBLISH_TIMEOUT"] = "1s"
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 80, func(o *simulate.Options) {
		chatty(o)
		o.ResponseTimeout = 2 * time.Second
	})
	ready := func(want int) func() bool {
		return func() bool {
			status, _ := s.get("/readyz")
			return status == want
		}
	}
	for range 2 {
		f.awaitProgress(t, 1000)
		testkit.EventuallyIn(t, "ready", readySoon, ready(http.StatusOK))
		store.redis.Freeze()
		frozen := f.settled(t)
		testkit.EventuallyIn(t, "not ready", readySoon, ready(http.StatusServiceUnavailable))
		if status, _ := s.get("/healthz"); status != http.StatusOK {
			t.Errorf("/healthz %d", status)
		}
		if n := f.count(); n != frozen {
			t.Errorf("%d records acknowledged while redis was frozen", n-frozen)
		}
		store.redis.Thaw()
		testkit.EventuallyIn(t, "ready again", readySoon, ready(http.StatusOK))
	}
	f.awaitProgress(t, 1000)
	f.endWith(t, s)
	store.wantAll(t, f.acknowledged(), false)
	store.wantMessages(t, f.messages())
}

// settled waits until no more ACKs arrive, and returns how many records have got one.
func (f *fleet) settled(t testing.TB) int {
	t.Helper()
	last := -1
	changed := time.Now()
	testkit.Eventually(t, "no more ACKs arrive", func() bool {
		if n := f.count(); n != last {
			last, changed = n, time.Now()
		}
		return time.Since(changed) > time.Second
	})
	return last
}
