package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// shardedService is a service in this process, whose engine has shards that fail when the test says so.
func shardedService(t *testing.T, shards int) (*server, *testkit.Engine) {
	t.Helper()
	e, before := testkit.NewShards(shards), engines
	engines = []engineEntry{{
		name: config.EngineEmbedded, shards: always,
		open: func(*config.Config, *slog.Logger) (engine.Engine, error) { return e, nil },
	}}
	t.Cleanup(func() { engines = before })
	settings := map[string]string{
		"DATA_DIR": t.TempDir(), "TELTONIKA_PORT": "0", "METRICS_PORT": "0", "ADMIN_ADDRESS": "off",
		"BIND_ADDRESS": "127.0.0.1",
	}
	c, err := config.Load(func(name string) string { return settings[name] })
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(c, slog.New(slog.DiscardHandler), new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return &server{t: t, http: fmt.Sprint("127.0.0.1:", port(s.opsAddress)), devices: s.devicesAddress.String()}, e
}

// TestReadyWithoutOneShard: one shard of three stores nothing, and only its devices have something to say. They get no
// ACK, the process stays ready and says which shard it is, devices of the others are served, and the frames that waited
// are acknowledged once the shard stores.
func TestReadyWithoutOneShard(t *testing.T) {
	s, e := shardedService(t, 3)
	trackers := map[int]*testkit.Tracker{}
	for n := 0; len(trackers) < 3; n++ {
		imei := fmt.Sprintf("35730704247%04d", n)
		if shard := e.Lane(imei); trackers[shard] == nil {
			trackers[shard] = login(t, s, imei, 1)
		}
	}
	const unavailable = "telemetry_shards_unavailable"
	testkit.Eventually(t, "all shards store", func() bool { return s.metric(unavailable) == 0 })

	e.FailShard(1, &engine.Error{Transient: true, Err: errors.New("down")})
	trackers[1].Send(numberedFrame(t, 1, 5))
	testkit.Eventually(t, "a shard does not", func() bool { return s.metric(unavailable) == 1 })
	testkit.Eventually(t, "its frame waits", func() bool { return s.metric("teltonika_publish_retries_total") > 0 })
	status, body := s.get("/readyz")
	if status != http.StatusOK || !strings.Contains(body, "shard 1 does not store: down") {
		t.Errorf("%d %s", status, body)
	}
	for _, shard := range []int{0, 2} {
		trackers[shard].Send(numberedFrame(t, shard, 5))
		trackers[shard].ExpectACK(5)
	}
	s.wantMetric("teltonika_publish_queue_depth", 5)
	e.FailShard(1, nil)
	trackers[1].ExpectACK(5)
	testkit.Eventually(t, "all shards store again", func() bool { return s.metric(unavailable) == 0 })

	for shard := range 3 {
		e.FailShard(shard, &engine.Error{Transient: true, Err: errors.New("down")})
	}
	testkit.Eventually(t, "no shard does", func() bool { return s.metric(unavailable) == 3 })
	testkit.Eventually(t, "not ready", func() bool { return s.status() == http.StatusServiceUnavailable })
}

// TestOthersBesideOneShard: one shard of four stores nothing, and its devices send more than its part of the queue. The
// devices of the others wait no longer than without that, in turns: their p99 is at most twice as long. The process is
// ready all the time.
func TestOthersBesideOneShard(t *testing.T) {
	const shards, perShard, frame, turn = 4, 12, 250, 500 * time.Millisecond
	s, e := shardedService(t, shards)
	e.Delay(2 * time.Millisecond) // as an engine takes
	devices := map[int][]*testkit.Tracker{}
	for n, missing := 0, shards*perShard; missing > 0; n++ {
		imei := fmt.Sprintf("35730704248%04d", n)
		if shard := e.Lane(imei); len(devices[shard]) < perShard {
			devices[shard] = append(devices[shard], login(t, s, imei, 1))
			missing--
		}
	}
	others := slices.Concat(devices[1], devices[2], devices[3])
	sent := 0
	p99 := func() time.Duration {
		sent += 10_000
		return exchangeFor(t, others, turn, sent)
	}
	var ratios []float64
	for round := range 3 {
		calm := max(p99(), 5*time.Millisecond) // which is nothing on a machine that has other things to do
		e.FailShard(0, &engine.Error{Transient: true, Err: errors.New("down")})
		for _, d := range devices[0][:perShard-2] { // 2,500 records
			d.Send(numberedFrame(t, round, frame))
		}
		time.Sleep(500 * time.Millisecond) // after which a lane counts as one that does not store
		overflows := s.metric("teltonika_publish_overflow_total")
		for _, d := range devices[0][perShard-2:] {
			d.Send(numberedFrame(t, round, frame))
		}
		testkit.Eventually(t, "its part of the queue is full", func() bool {
			return s.metric("teltonika_publish_overflow_total") > overflows
		})
		ratios = append(ratios, float64(p99())/float64(calm))
		if depth := s.metric("teltonika_publish_queue_depth"); depth < 1000 || depth > 10_000/shards+frame {
			t.Errorf("%v records wait, of 10000 for %d shards", depth, shards)
		}
		if status, body := s.get("/readyz"); status != http.StatusOK {
			t.Errorf("/readyz %d %s", status, body)
		}
		e.FailShard(0, nil)
		testkit.Eventually(t, "what waited is stored", func() bool { return s.metric("teltonika_publish_queue_depth") == 0 })
	}
	t.Logf("p99 with one shard away, of that without: %.2f", ratios)
	// Whoever waits for a shard waits in every turn; what else the machine does comes and goes.
	if least := slices.Min(ratios); least > 2 {
		t.Errorf("the others' p99 is %.1f times as long", least)
	}
}

// exchangeFor has each device send frames and wait for their ACKs for so long, and returns the p99 of that wait.
func exchangeFor(t *testing.T, devices []*testkit.Tracker, during time.Duration, number int) time.Duration {
	var all []time.Duration
	var mu sync.Mutex
	var work sync.WaitGroup
	end := time.Now().Add(during)
	for _, d := range devices {
		work.Go(func() {
			for n := number; time.Now().Before(end); n++ {
				begin := time.Now()
				d.Send(numberedFrame(t, n, 5))
				d.ExpectACK(5)
				mu.Lock()
				all = append(all, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	work.Wait()
	slices.Sort(all)
	return all[len(all)*99/100]
}
