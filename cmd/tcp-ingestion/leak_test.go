package main

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// profiled is the store's settings with what liveHeap needs.
func profiled(settings map[string]string) map[string]string {
	settings["PPROF_ADDRESS"] = "127.0.0.1:0"
	return settings
}

// liveHeap is how many MiB the server holds on to. What is resident beside them depends on when the collector runs.
func (s *server) liveHeap() float64 {
	s.t.Helper()
	for range 2 { // what is in a pool goes with the second collection
		response, err := http.Get("http://" + s.pprof + "/debug/pprof/heap?gc=1")
		if err != nil {
			s.t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return s.metric("go_memstats_alloc_bytes") / (1 << 20)
}

// wantGoroutines fails if the server does not come to have so many goroutines at most. Those of connections end a
// moment after these are counted as closed.
func (s *server) wantGoroutines(most float64) {
	s.t.Helper()
	testkit.Succeeds(s.t, "few goroutines", patience, func() error {
		if n := s.metric("go_goroutines"); n > most {
			return fmt.Errorf("%v goroutines, want up to %v", n, most)
		}
		return nil
	})
}

// TestNothingGrows runs fleets that come, send, reconnect and go. What stays behind in the server is no goroutine
// and no memory, but for what it knows of the records stored lately.
func TestNothingGrows(t *testing.T) {
	store := redisStore(t)
	s := startServer(t, profiled(store.settings))
	run := func() (goroutines, memory float64) {
		f := startFleet(t, s.devices, 100, func(o *simulate.Options) {
			o.Reconnect = 0.05
			o.RecordsPerFrame = simulate.Range{Min: 1, Max: 40}
		})
		f.awaitProgress(t, 30_000)
		f.end(t)
		testkit.Eventually(t, "all connections are gone", func() bool {
			return s.metric("teltonika_connections_active") == 0
		})
		testkit.Eventually(t, "the queue is empty", func() bool { return s.metric("teltonika_publish_queue_depth") == 0 })
		return s.metric("go_goroutines"), s.liveHeap()
	}
	run()
	goroutines, memory := run() // warm
	const rounds = 4
	var after, held float64
	for range rounds {
		after, held = run()
	}
	s.wantGoroutines(goroutines + 5)
	const allowed = 16 // MiB; a leak of 1 KiB a record would be 117
	if held > memory+allowed {
		t.Errorf("%.1f MiB held after the second fleet, %.1f MiB after the last", memory, held)
	}
	t.Logf("goroutines %v to %v, held %.1f to %.1f MiB", goroutines, after, memory, held)
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
