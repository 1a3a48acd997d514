package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// readiness is the answer of /readyz.
type readiness struct {
	status     int
	Ready      bool
	Durability string
	Reasons    []string
}

func (s *server) readiness() (r readiness) {
	s.t.Helper()
	status, body := s.get("/readyz")
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	r.status = status
	return r
}

// TestDurabilityNotToBeHad asks a Redis that answers for more than it can do.
func TestDurabilityNotToBeHad(t *testing.T) {
	everysec := redisStore(t, "--appendonly", "yes", "--appendfsync", "everysec")
	for _, c := range []struct {
		durability, remedy string
	}{
		{"fsync", "set appendfsync always"},
		{"replicas=1", "0 of 1 redis replicas have confirmed: connect more replicas"},
	} {
		settings := map[string]string{"REDIS_DURABILITY": c.durability, "REDIS_URL": everysec.settings["REDIS_URL"]}
		code, out, errOut := execute(t, settings, "", "check")
		if code != 1 || !strings.Contains(errOut, "REDIS_DURABILITY="+c.durability) || !strings.Contains(errOut, c.remedy) ||
			!strings.Contains(out, "up to 1 s") {
			t.Errorf("check with %s: exit code %d\n%s%s", c.durability, code, out, errOut)
		}
	}
	settings := map[string]string{"REDIS_URL": everysec.settings["REDIS_URL"]}
	code, out, _ := execute(t, settings, "", "check")
	for _, text := range []string{
		"(second)", "appendonly yes", "appendfsync everysec", "maxmemory-policy", "connected_slaves 0",
		"aof_last_write_status ok",
		"rdb_last_bgsave_status ok", "maxmemory is not set", "0 kept",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("check does not say %q:\n%s", text, out)
		}
	}
	if code != 0 {
		t.Errorf("check: exit code %d", code)
	}
}

func TestCheckOfEmbedded(t *testing.T) {
	_, out, _ := execute(t, map[string]string{"DATA_DIR": t.TempDir()}, "", "check")
	for _, text := range []string{"journal_mode wal", "synchronous 2", "free disk", "MiB"} {
		if !strings.Contains(out, text) {
			t.Errorf("check does not say %q:\n%s", text, out)
		}
	}
}

// TestReplicaThatComesLater: a start without the replica that REDIS_DURABILITY asks for waits, says why, and goes on
// when a real one connects.
func TestReplicaThatComesLater(t *testing.T) {
	t.Parallel()
	store := redisStore(t, "--repl-diskless-sync-delay", "0")
	store.settings["REDIS_DURABILITY"] = "replicas=1"
	s := startServer(t, store.settings)
	testkit.Eventually(t, "the reason", func() bool {
		r := s.readiness()
		return r.status == 503 && strings.Contains(strings.Join(r.Reasons, " "), "0 of 1 redis replicas have confirmed")
	})
	testkit.Eventually(t, "the reason in the log", func() bool {
		return s.logged("engine cannot store at the configured durability")
	})
	f := startFleet(t, s.devices, 10, func(o *simulate.Options) { o.ResponseTimeout = time.Second })
	testkit.Eventually(t, "refusals", func() bool { return s.metric("teltonika_publish_retries_total") > 0 })
	if n := f.count(); n != 0 {
		t.Errorf("%d records acknowledged without a replica", n)
	}
	host, port, _ := strings.Cut(store.redis.Addr(), ":")
	replica := testkit.StartRedis(t, "--replicaof", host, port)
	f.awaitProgress(t, 100)
	testkit.EventuallyIn(t, "ready", readySoon, func() bool { return s.readiness().status == 200 })
	f.end(t)
	store.wantAll(t, f.acknowledged(), false)
	testkit.Eventually(t, "all records at the replica", func() bool {
		return replica.Do("XLEN", "telemetry:teltonika") == store.redis.Do("XLEN", "telemetry:teltonika")
	})
}

// TestDurabilityOfLateEngine starts without Redis, which then comes and cannot fsync, and is cured.
func TestDurabilityOfLateEngine(t *testing.T) {
	t.Parallel()
	store := redisStore(t, "--appendonly", "yes", "--appendfsync", "everysec")
	store.settings["REDIS_DURABILITY"] = "fsync"
	store.redis.Kill()
	s := startServer(t, store.settings)
	if r := s.readiness(); r.status != 503 || !strings.Contains(r.Durability, "unknown") {
		t.Errorf("without an engine: %+v", r)
	}
	f := startFleet(t, s.devices, 10, func(o *simulate.Options) { o.ResponseTimeout = time.Second })
	store.redis.Restart()
	testkit.Eventually(t, "the refusal is logged", func() bool {
		return s.logged("engine cannot store at the configured durability")
	})
	testkit.Eventually(t, "the reason is shown", func() bool {
		r := s.readiness()
		return r.status == 503 && strings.Contains(strings.Join(r.Reasons, " "), "set appendfsync always") &&
			strings.HasPrefix(r.Durability, "up to 1 s")
	})
	if n := f.count(); n != 0 {
		t.Errorf("%d records acknowledged that were not fsynced", n)
	}
	store.redis.Do("CONFIG", "SET", "appendfsync", "always")
	f.awaitProgress(t, 100)
	testkit.EventuallyIn(t, "ready", readySoon, func() bool { return s.readiness().status == 200 })
	f.end(t)
	store.wantAll(t, f.acknowledged(), false)
}

func TestDurabilityShown(t *testing.T) {
	t.Parallel()
	store := redisStore(t, "--appendonly", "yes", "--appendfsync", "always")
	store.settings["REDIS_DURABILITY"] = "fsync"
	s := startServer(t, store.settings)
	testkit.EventuallyIn(t, "ready, and how durable", patience, func() bool {
		r := s.readiness()
		return r.status == 200 && strings.HasPrefix(r.Durability, "every record fsynced")
	})
	if _, body := s.get("/metrics"); !strings.Contains(body, `telemetry_engine_info{class="fsync",engine="Redis `) &&
		!strings.Contains(body, `telemetry_engine_info{class="fsync",engine="Valkey `) {
		t.Errorf("/metrics has no telemetry_engine_info:\n%s", body)
	}
}

// TestRedisOutOfMemory fills Redis up to its limit, and makes room.
func TestRedisOutOfMemory(t *testing.T) {
	t.Parallel()
	store := redisStore(t, "--maxmemory", "12mb", "--maxmemory-policy", "noeviction")
	store.redis.Do("XGROUP", "CREATE", "telemetry:teltonika", "readers", "0", "MKSTREAM")
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 40, func(o *simulate.Options) { o.ResponseTimeout = time.Second })
	f.awaitProgress(t, 100)
	testkit.Eventually(t, "not ready for lack of memory", func() bool {
		r := s.readiness()
		return r.status == 503 && strings.Contains(strings.Join(r.Reasons, " "), "OOM")
	})
	// Right at the limit, Redis takes a record now and then, when other memory is freed. This is beyond it.
	store.redis.Do("CONFIG", "SET", "maxmemory", 8<<20)
	f.settled(t)
	acknowledged, stored := f.count(), store.redis.Do("XLEN", "telemetry:teltonika").(int64)
	for name, want := range map[string]float64{
		"telemetry_engine_out_of_memory": 1, "telemetry_engine_memory_limit_bytes": 8 << 20,
		"telemetry_stream_length":  float64(stored),
		"telemetry_unread_records": float64(stored), "telemetry_engine_ready": 0,
	} {
		testkit.Eventually(t, name, func() bool { return s.metric(name) == want })
	}
	if _, body := s.get("/metrics"); !strings.Contains(body, "\ntelemetry_memory_exhausted_in_seconds 0\n") {
		t.Errorf("it is not said that the memory is full:\n%s", body)
	}
	if age := s.metric("telemetry_oldest_unread_seconds"); age <= 0 || age > 1000 {
		t.Errorf("the oldest unread record is %v s old", age)
	}
	if now := f.count(); now != acknowledged || int64(acknowledged) > stored {
		t.Errorf("%d records acknowledged, then %d, of %d stored", acknowledged, now, stored)
	}
	store.redis.Do("CONFIG", "SET", "maxmemory", 0)
	testkit.EventuallyIn(t, "ready", readySoon, func() bool { return s.readiness().status == 200 })
	f.awaitProgress(t, 1000)
	f.end(t)
	store.wantAll(t, f.acknowledged(), false)
	testkit.Eventually(t, "the books balance", func() bool { return s.metric("teltonika_publish_queue_depth") == 0 })
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
