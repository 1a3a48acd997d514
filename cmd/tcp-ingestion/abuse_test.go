package main

import (
	"fmt"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestLargestFramesFromEverybody: every connection sends frames of 64 KiB at once. All are stored and acknowledged, and
// going on with it takes no more memory.
func TestLargestFramesFromEverybody(t *testing.T) {
	const devices, rounds, size = 400, 3, 65_000
	store := redisStore(t)
	store.settings["REDIS_STREAM_MAXLEN"] = "100" // Redis shall not need gigabytes
	s := startServer(t, profiled(store.settings))
	var memory [rounds]float64
	for round := range rounds {
		var wg sync.WaitGroup
		for d := range devices {
			wg.Go(func() {
				device := testkit.Dial(t, s.devices)
				device.MustLogin(fmt.Sprintf("35730704245%04d", d))
				for f := range 3 {
					device.Send(frameOfSize(t, uint64(10*round+f), size))
					device.ExpectACK(1)
				}
				device.Close()
			})
		}
		wg.Wait()
		memory[round] = s.liveHeap()
	}
	s.wantBalance()
	if n := s.metric("teltonika_records_published_total"); n != rounds*devices*3 {
		t.Errorf("%v records published, want %d", n, rounds*devices*3)
	}
	t.Logf("MiB held after each round: %.1f", memory)
	if grown := memory[rounds-1] - memory[0]; grown > 16 { // a round's frames are 74 MiB
		t.Errorf("grown by %.1f MiB from the first round to the last", grown)
	}
}

func frameOfSize(t *testing.T, number uint64, size int) []byte {
	r := teltonika.Record{Timestamp: 1_700_000_000_000 + number}
	r.AddBytes(10829, teltonika.GroupX, make([]byte, size))
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{r}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Error(err)
	}
	return frame
}

// TestReconnectStorm: a whole fleet connects anew after every ACK. Everybody gets in, and nothing stays behind.
func TestReconnectStorm(t *testing.T) {
	store := redisStore(t)
	s := startServer(t, profiled(store.settings))
	run := func() (goroutines, memory float64) {
		f := startFleet(t, s.devices, 200, func(o *simulate.Options) { o.Reconnect = 1 })
		f.awaitProgress(t, 5000)
		if l := f.end(t); l.LoginsRefused > 0 || l.GivenUp > 0 {
			t.Errorf("%d logins refused, %d devices gave up", l.LoginsRefused, l.GivenUp)
		}
		testkit.Eventually(t, "all connections are gone", func() bool {
			return s.metric("teltonika_connections_active") == 0
		})
		return s.metric("go_goroutines"), s.liveHeap()
	}
	run()
	goroutines, memory := run()
	_, held := run()
	s.wantGoroutines(goroutines + 5)
	if held > memory+8 {
		t.Errorf("%.1f MiB after the second storm, %.1f MiB after the third", memory, held)
	}
	s.wantBalance()
}
