package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// shardedService is a service in this process, whose engine has shards that fail when the test says so.
func shardedService(t *testing.T, shards int) (*server, *testkit.Engine) {
	t.Helper()
	e, before := testkit.NewShards(shards), engines
	engines = []engineEntry{{
		name: config.EngineEmbedded, shards: true,
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
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.stop(ctx); err != nil {
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
	if n := s.metric("teltonika_publish_queue_depth"); n != 5 {
		t.Errorf("%v records wait", n)
	}
	e.FailShard(1, nil)
	trackers[1].ExpectACK(5)
	testkit.Eventually(t, "all shards store again", func() bool { return s.metric(unavailable) == 0 })

	for shard := range 3 {
		e.FailShard(shard, &engine.Error{Transient: true, Err: errors.New("down")})
	}
	testkit.Eventually(t, "no shard does", func() bool { return s.metric(unavailable) == 3 })
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
}
