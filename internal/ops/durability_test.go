package ops

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// journal is a log that may be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(20 * time.Second); !condition(); <-retry.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func watch(t *testing.T, o redisstream.Options) (d *Durability, r *prometheus.Registry, log *journal) {
	t.Helper()
	log = &journal{}
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
	redis := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb", "--maxmemory-policy", "noeviction")
	d, r, log := watch(t, redisstream.Options{URL: redis.URL()})
	showsClass := func(class string) func() bool {
		return func() bool { return strings.Contains(shown(t, r), "class="+class+" ") }
	}
	eventually(t, "the class", showsClass("fsync"))
	if got := d.String(); got != string(engine.Fsynced) {
		t.Errorf("it says %q", got)
	}
	if log.count("level=WARN") != 0 || log.count(`msg=engine engine="Redis`) != 1 {
		t.Errorf("logged:\n%s", log.b.String())
	}
	redis.Do("CONFIG", "SET", "appendfsync", "everysec")
	eventually(t, "the change", showsClass("second"))
	eventually(t, "the warning", func() bool { return log.count("engine durability changed") == 1 })
	redis.Do("CONFIG", "SET", "appendonly", "no")
	eventually(t, "another change", showsClass("memory"))
	eventually(t, "its remedy", func() bool { return log.count("set appendonly yes") == 1 })

	redis.Kill()
	eventually(t, "that it is gone", func() bool { return log.count("engine cannot be inspected") == 1 })
	if !showsClass("memory")() {
		t.Errorf("what was known is gone:\n%s", shown(t, r))
	}
	redis.Restart("--appendfsync", "always")
	eventually(t, "that it is back", func() bool { return log.count("engine can be inspected again") == 1 })
	if n := log.count("set appendonly yes"); n != 1 {
		t.Errorf("one warning is logged %d times", n)
	}
	if n := log.count("engine durability changed"); n > 3 {
		t.Errorf("%d changes logged", n)
	}
}

// TestDurabilityLost weakens a Redis that has to fsync.
func TestDurabilityLost(t *testing.T) {
	redis := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb", "--maxmemory-policy", "noeviction")
	_, r, log := watch(t, redisstream.Options{URL: redis.URL(), Durability: redisstream.Durability{Fsync: true}})
	eventually(t, "the class", func() bool { return strings.Contains(shown(t, r), "class=fsync ") })
	redis.Do("CONFIG", "SET", "appendfsync", "everysec")
	eventually(t, "what it really does", func() bool { return strings.Contains(shown(t, r), "class=second ") })
	eventually(t, "the remedy, once", func() bool { return log.count("engine cannot store at the configured durability") == 1 })
	if log.count("set appendfsync always") == 0 {
		t.Errorf("logged:\n%s", log.b.String())
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
