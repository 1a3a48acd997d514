package kafka

import (
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const (
	fleetDevices = 60
	framePause   = 100 * time.Millisecond // between a device's frames
	frameRecords = 10
)

// fleet is devices that send frames through a publisher, at their pace, each frame until it is acknowledged.
type fleet struct {
	topic     string
	on        *testkit.Kafka
	publisher *publish.Publisher
	acked     []atomic.Int64 // records of each device
	lastACK   []atomic.Int64 // ns since 1970
	stop      chan struct{}
	running   sync.WaitGroup
	resent    atomic.Int64
	stall     atomic.Int64 // the longest time between two ACKs of a device, in ns
}

// startFleet starts the devices, and ends them with the test.
func startFleet(t *testing.T, e *Engine, on *testkit.Kafka) *fleet {
	f := &fleet{
		topic: e.opt.Topic, on: on, stop: make(chan struct{}),
		acked: make([]atomic.Int64, fleetDevices), lastACK: make([]atomic.Int64, fleetDevices),
		publisher: publish.New(publish.Options{
			Engine: e, Shards: true, Capacity: 10_000, LargestFrame: 255, Timeout: 20 * time.Second,
			Metrics: publish.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
		}),
	}
	t.Cleanup(f.publisher.Close)
	for d := range fleetDevices {
		f.running.Go(func() { f.live(d) })
	}
	return f
}

func deviceName(d int) string { return fmt.Sprintf("3563070424%05d", d) }

// live sends one frame after the other.
func (f *fleet) live(d int) {
	pace := time.NewTicker(framePause)
	defer pace.Stop()
	name := deviceName(d)
	for {
		select {
		case <-f.stop:
			return
		case <-pace.C:
		}
		first := int(f.acked[d].Load())
		for f.send(name, first) != nil {
			f.resent.Add(1)
			select {
			case <-f.stop:
				return
			case <-pace.C:
			}
		}
		now := time.Now().UnixNano()
		if last := f.lastACK[d].Swap(now); last != 0 {
			for longest := f.stall.Load(); now-last > longest && !f.stall.CompareAndSwap(longest, now-last); {
				longest = f.stall.Load()
			}
		}
		f.acked[d].Add(frameRecords)
	}
}

func (f *fleet) send(name string, first int) error {
	frame, err := f.publisher.Admit(nil, name, frameRecords)
	if err != nil {
		return err
	}
	frame.Records = append(frame.Records, enginetest.NewBatch(name, first, frameRecords).Records...)
	_, err = f.publisher.Publish(frame)
	return err
}

func (f *fleet) total() (n int64) {
	for d := range f.acked {
		n += f.acked[d].Load()
	}
	return n
}

// awaitAll waits until every device has had an ACK since the moment, and returns how long that took the last of them.
func (f *fleet) awaitAll(t *testing.T, since time.Time, within time.Duration) time.Duration {
	t.Helper()
	return f.await(t, since, within, func(int) bool { return true })
}

// await is awaitAll for some of the devices.
func (f *fleet) await(t *testing.T, since time.Time, within time.Duration, those func(d int) bool) time.Duration {
	t.Helper()
	testkit.EventuallyIn(t, "an ACK for every device", within, func() bool {
		for d := range f.lastACK {
			if those(d) && f.lastACK[d].Load() < since.UnixNano() {
				return false
			}
		}
		return true
	})
	return time.Since(since)
}

// end stops the devices.
func (f *fleet) end() {
	close(f.stop)
	f.running.Wait()
}

// settle compares what was acknowledged with what is stored: all of it is there, each device's records in order, and
// none of them twice.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	f.end()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	next := map[string]int64{}
	copies, disorder, stored := 0, 0, 0
	for _, r := range f.on.Contents(t, f.topic) {
		stored++
		n := number(t, header(r, "id"))
		switch want := next[string(r.Key)]; {
		case n == want:
			next[string(r.Key)]++
		case n < want:
			copies++
		default:
			disorder++
			next[string(r.Key)] = n + 1
		}
	}
	for d := range f.acked {
		if acked := f.acked[d].Load(); next[deviceName(d)] < acked {
			t.Errorf("%s: %d records acknowledged, %d stored", deviceName(d), acked, next[deviceName(d)])
		}
	}
	if copies != 0 || disorder != 0 {
		t.Errorf("%d records are stored twice, %d are out of order", copies, disorder)
	}
	t.Logf("%d records acknowledged, %d stored, %d frames sent again, longest stall of a device %v, %d MiB in use",
		f.total(), stored, f.resent.Load(), time.Duration(f.stall.Load()).Round(100*time.Millisecond), memory.HeapAlloc>>20)
	const mostMemory = 512 << 20
	if memory.HeapAlloc > mostMemory {
		t.Errorf("%d MiB in use", memory.HeapAlloc>>20)
	}
}

// number is the number of a record in enginetest.NewRecord's sequence, by the time in its id.
func number(t *testing.T, id string) int64 {
	t.Helper()
	ms, err := strconv.ParseInt(strings.Split(id, "-")[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	first := enginetest.NewRecord(device, 0)
	return (ms - first.Timestamp) / 1000
}
