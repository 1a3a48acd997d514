package redisstream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkStore compares Store with the least that any client can do: write the same bytes,
// encoded beforehand, and read the answers without looking at them. Both run in turns against the
// same Redis, so that what else the machine does hits both. The metrics are per record:
// processor time of this process, of redis-server, allocations; and Store's part over the bare one's.
func BenchmarkStore(b *testing.B) {
	for _, lanes := range []int{4, 32} {
		for _, size := range []int{50, 200, 500} {
			b.Run(fmt.Sprintf("lanes=%d/batch=%d", lanes, size), func(b *testing.B) { benchmarkStore(b, lanes, size) })
		}
	}
}

func benchmarkStore(b *testing.B, lanes, size int) {
	r := testkit.StartRedis(b)
	e := open(b, r, Options{Lanes: lanes})
	defer func() { _ = e.Close() }()
	stores := make([]func() error, lanes)
	bares := make([]func() error, lanes)
	for i := range lanes {
		batch := enginetest.NewBatch(fmt.Sprintf("35630704%07d", i), 0, size)
		batch.ID = 0 // it is another one each time
		stores[i] = func() error { return e.Store(context.Background(), i, batch) }
		bares[i] = bareStore(b, r.Addr(), e.shards[0].words, batch)
	}
	const perLane = 20
	var ours, bare usage
	run(b, r, perLane, stores) // connects
	for b.Loop() {
		ours.add(run(b, r, perLane, stores))
		bare.add(run(b, r, perLane, bares))
		r.Do("DEL", testStream)
	}
	records := float64(b.N * perLane * lanes * size)
	b.ReportMetric(records/ours.wall.Seconds(), "records/s")
	b.ReportMetric(micros(ours.self)/records, "µs-cpu/record")
	b.ReportMetric(micros(ours.redis)/records, "µs-redis-cpu/record")
	b.ReportMetric(float64(ours.allocs)/records, "allocs/record")
	b.ReportMetric(float64(ours.self)/float64(bare.self), "×bare-cpu")
	b.ReportMetric(bare.wall.Seconds()/ours.wall.Seconds(), "×bare-rate")
	b.ReportMetric(0, "ns/op")
}

// bareStore is the limit.
func bareStore(b *testing.B, addr string, w words, batch *engine.Batch) func() error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReaderSize(conn, replyBuffer)
	var out []byte
	for i := range batch.Records {
		out = w.appendRecord(out, &batch.Records[i])
	}
	return func() error {
		if _, err := conn.Write(out); err != nil {
			return err
		}
		for range 2 * len(batch.Records) {
			if _, err := in.ReadSlice('\n'); err != nil {
				return err
			}
		}
		return nil
	}
}

// usage is what a run costs.
type usage struct {
	wall, self, redis time.Duration
	allocs            uint64
}

func (u *usage) add(v usage) {
	u.wall += v.wall
	u.self += v.self
	u.redis += v.redis
	u.allocs += v.allocs
}

// run calls each lane's function n times, all lanes at once.
func run(b *testing.B, r *testkit.Redis, n int, lanes []func() error) usage {
	before := measure(b, r.PID())
	start := time.Now()
	var running sync.WaitGroup
	for _, store := range lanes {
		running.Go(func() {
			for range n {
				if err := store(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	after := measure(b, r.PID())
	return usage{time.Since(start), after.self - before.self, after.redis - before.redis, after.allocs - before.allocs}
}

func measure(b *testing.B, pid int) usage {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{
		self:   time.Duration(self.Utime.Nano() + self.Stime.Nano()),
		redis:  processorTime(b, pid),
		allocs: memory.Mallocs,
	}
}

// processorTime is what the main thread of a process has used; Redis works on that one.
func processorTime(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// BenchmarkRecall stores batches of new records and looks for each of them before, so that all that is written is read
// back once: the most that it can cost, since only the first frames of connections are looked for. ×store-cpu and
// ×store-redis-cpu are what storing costs with it over what it costs without, in turns.
func BenchmarkRecall(b *testing.B) {
	r := testkit.StartRedis(b)
	e := open(b, r, Options{Lanes: 1, Recall: true})
	defer func() { _ = e.Close() }()
	const size, perRound = 200, 20
	next := 0
	store := func(recall bool) func() error {
		return func() error {
			batch := enginetest.NewBatch("356307040000001", next, size)
			batch.ID, batch.Recall = 0, recall
			next += size
			return e.Store(context.Background(), 0, batch)
		}
	}
	encode := func() error { enginetest.NewBatch("356307040000001", next, size); return nil }
	var with, without, making usage
	run(b, r, perRound, []func() error{store(true)})
	for b.Loop() {
		without.add(run(b, r, perRound, []func() error{store(false)}))
		c := e.shards[0].client(context.Background())
		// What was written without is not counted.
		if err := e.shards[0].recall.mark(context.Background(), c, nil, nil); err != nil {
			b.Fatal(err)
		}
		with.add(run(b, r, perRound, []func() error{store(true)}))
		making.add(run(b, r, perRound, []func() error{encode}))
	}
	records := float64(b.N * perRound * size)
	b.ReportMetric(micros(with.self-without.self)/records, "µs-cpu/record")
	b.ReportMetric(micros(with.redis-without.redis)/records, "µs-redis-cpu/record")
	b.ReportMetric(float64(with.self-making.self)/float64(without.self-making.self), "×store-cpu")
	b.ReportMetric(float64(with.redis)/float64(without.redis), "×store-redis-cpu")
	b.ReportMetric(0, "ns/op")
}
