package main

import (
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestNothingGrows runs fleets that come, send, reconnect and go. What stays behind in the server is no goroutine
// and no memory, but for what it knows of the records stored lately.
func TestNothingGrows(t *testing.T) {
	store := redisStore(t)
	s := startServer(t, store.settings)
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
		return s.metric("go_goroutines"), s.metric("process_resident_memory_bytes")
	}
	run()
	goroutines, memory := run() // warm
	const rounds = 4
	var after, resident float64
	for range rounds {
		after, resident = run()
	}
	if after > goroutines+5 {
		t.Errorf("%v goroutines after the second fleet, %v after the last", goroutines, after)
	}
	const allowed = 48 << 20 // fleets differ in what they have in flight; a leak of 1 KiB a record would be far more
	if resident > memory+allowed {
		t.Errorf("%.0f MiB resident after the second fleet, %.0f MiB after the last", memory/(1<<20), resident/(1<<20))
	}
	t.Logf("goroutines %v to %v, resident %.0f to %.0f MiB", goroutines, after, memory/(1<<20), resident/(1<<20))
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
