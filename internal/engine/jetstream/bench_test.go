package jetstream

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkStore writes the same batches to a cluster and to one Redis without an append-only file, in turns, so that
// what else the machine does hits both.
func BenchmarkStore(b *testing.B) {
	for _, servers := range []int{1, 3} {
		for _, shards := range []int{1, 4, 8} {
			for _, size := range []int{100, 1000} {
				b.Run(fmt.Sprintf("servers=%d/shards=%d/batch=%d", servers, shards, size), func(b *testing.B) {
					benchmarkStore(b, servers, shards, size)
				})
			}
		}
	}
}

func benchmarkStore(b *testing.B, servers, shards, size int) {
	n, r := testkit.StartNATS(b, servers), testkit.StartRedis(b)
	quiet := slog.New(slog.DiscardHandler)
	durability := Quorum
	if servers == 1 {
		durability = Leader
	}
	ours, err := New(Options{URL: n.URL(), Shards: shards, Durability: durability, Create: true, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer ours.Close()
	redis, err := redisstream.New(redisstream.Options{URL: r.URL(), Stream: "s", Lanes: shards, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer redis.Close()
	batches := make([]*engine.Batch, shards)
	for lane := range batches {
		batches[lane] = enginetest.NewBatch(ofLane(ours, lane), 0, size)
		batches[lane].ID = 0 // it is another one each time
	}
	var here, there usage
	for lane, batch := range batches { // makes the streams, which take a moment to choose their leaders
		testkit.Succeeds(b, "the first batch", patience, func() error {
			clear(batch.Results)
			return ours.Store(context.Background(), lane, batch)
		})
	}
	here.run(b, ours, batches)
	there.run(b, redis, batches)
	here, there = usage{}, usage{}
	for b.Loop() {
		here.run(b, ours, batches)
		there.run(b, redis, batches)
		r.Do("DEL", "s")
	}
	records := float64(b.N * perLane * shards * size)
	b.ReportMetric(records/here.wall.Seconds(), "records/s")
	b.ReportMetric(records/there.wall.Seconds(), "redis-records/s")
	b.ReportMetric(micros(here.self)/records, "µs-cpu/record")
	b.ReportMetric(micros(there.self)/records, "redis-µs-cpu/record")
	b.ReportMetric(float64(here.allocs)/records, "allocs/record")
	b.ReportMetric(here.percentile(50), "p50-ms")
	b.ReportMetric(here.percentile(99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// perLane is how many batches of a lane are one run.
const perLane = 20

// usage is what runs cost.
type usage struct {
	wall, self time.Duration
	allocs     uint64
	took       []time.Duration // of each Store
}

// run stores each lane's batch some times, all lanes at once.
func (u *usage) run(b *testing.B, e engine.Engine, batches []*engine.Batch) {
	b.Helper()
	self, allocs, start := used(b)
	var running sync.WaitGroup
	var mu sync.Mutex
	for lane, batch := range batches {
		running.Go(func() {
			for range perLane {
				begun := time.Now()
				clear(batch.Results)
				err := e.Store(context.Background(), lane, batch)
				mu.Lock()
				u.took = append(u.took, time.Since(begun))
				mu.Unlock()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	selfNow, allocsNow, end := used(b)
	u.self += selfNow - self
	u.allocs += allocsNow - allocs
	u.wall += end.Sub(start)
}

func used(b *testing.B) (self time.Duration, allocs uint64, now time.Time) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs, time.Now()
}

func (u *usage) percentile(p int) float64 {
	slices.Sort(u.took)
	return micros(u.took[(len(u.took)-1)*p/100]) / 1000
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
