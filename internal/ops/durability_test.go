package ops

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func watch(t *testing.T, o redisstream.Options) (d *Durability, r *prometheus.Registry, log *testkit.Log) {
	t.Helper()
	log = testkit.NewLog(t)
	o.Stream, o.Logger = "telemetry:teltonika", slog.New(slog.DiscardHandler)
	e, err := redisstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r = prometheus.NewRegistry()
	d = NewDurability(e.Inspect, r, slog.New(slog.NewTextHandler(log, nil)))
	d.interval = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		e.Close()
	})
	return d, r, log
}

// TestDurabilityFollows changes a real Redis under the watch.
func TestDurabilityFollows(t *testing.T) {
	redis := testkit.StartRedis(
		t,
		"--appendonly",
		"yes",
		"--appendfsync",
		"always",
		"--maxmemory",
		"1gb",
		"--maxmemory-policy",
		"noeviction",
	)
	d, r, log := watch(t, redisstream.Options{URL: redis.URL()})
	showsClass := func(class string) func() bool {
		return func() bool { return strings.Contains(shown(t, r), "class="+class+" ") }
	}
	testkit.Eventually(t, "the class", showsClass("fsync"))
	if got := d.String(); got != string(engine.Fsynced) {
		t.Errorf("it says %q", got)
	}
	if log.Count("level=WARN") != 0 || log.Count(`msg=engine engine="Redis`) != 1 {
		t.Errorf("logged:\n%s", log)
	}
	redis.Do("CONFIG", "SET", "appendfsync", "everysec")
	testkit.Eventually(t, "the change", showsClass("second"))
	testkit.Eventually(t, "the warning", func() bool { return log.Count("engine durability changed") == 1 })
	redis.Do("CONFIG", "SET", "appendonly", "no")
	testkit.Eventually(t, "another change", showsClass("memory"))
	testkit.Eventually(t, "its remedy", func() bool { return log.Count("set appendonly yes") == 1 })

	redis.Kill()
	testkit.Eventually(t, "that it is gone", func() bool { return log.Count("engine cannot be inspected") == 1 })
	if !showsClass("memory")() {
		t.Errorf("what was known is gone:\n%s", shown(t, r))
	}
	redis.Restart("--appendfsync", "always")
	testkit.Eventually(t, "that it is back", func() bool { return log.Count("engine can be inspected again") == 1 })
	if n := log.Count("set appendonly yes"); n != 1 {
		t.Errorf("one warning is logged %d times", n)
	}
	if n := log.Count("engine durability changed"); n > 3 {
		t.Errorf("%d changes logged", n)
	}
}

// TestDurabilityLost weakens a Redis that has to fsync.
func TestDurabilityLost(t *testing.T) {
	redis := testkit.StartRedis(
		t,
		"--appendonly",
		"yes",
		"--appendfsync",
		"always",
		"--maxmemory",
		"1gb",
		"--maxmemory-policy",
		"noeviction",
	)
	_, r, log := watch(t, redisstream.Options{URL: redis.URL(), Durability: redisstream.Durability{Fsync: true}})
	testkit.Eventually(t, "the class", func() bool { return strings.Contains(shown(t, r), "class=fsync ") })
	redis.Do("CONFIG", "SET", "appendfsync", "everysec")
	testkit.Eventually(t, "what it really does", func() bool { return strings.Contains(shown(t, r), "class=second ") })
	testkit.Eventually(
		t,
		"the remedy, once",
		func() bool { return log.Count("engine cannot store at the configured durability") == 1 },
	)
	if log.Count("set appendfsync always") == 0 {
		t.Errorf("logged:\n%s", log)
	}
}

func TestDurabilityUnknown(t *testing.T) {
	d := NewDurability(func(context.Context) (engine.Durability, error) {
		return engine.Durability{}, errors.New("refused")
	}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err := d.Look(t.Context()); err == nil || !strings.Contains(d.String(), "not been reached") {
		t.Errorf("%v, says %q", err, d)
	}
}
