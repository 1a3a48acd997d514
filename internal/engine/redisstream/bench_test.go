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

// BenchmarkMarks compares storing with marks and without, in turns, by frames of as many records as trackers send at
// once: what a record costs more, as a part of what it costs without.
func BenchmarkMarks(b *testing.B) {
	for _, frame := range []int{1, 10, 25} {
		b.Run(fmt.Sprintf("frame=%d", frame), func(b *testing.B) { benchmarkMarks(b, frame) })
	}
}

func benchmarkMarks(b *testing.B, frame int) {
	const lanes, size, perLane = 4, 500, 20
	r := testkit.StartRedis(b)
	stores := func(o Options) (all []func() error) {
		o.Lanes = lanes
		e := open(b, r, o)
		b.Cleanup(func() { _ = e.Close() })
		for lane := range lanes {
			batch := frames(lane*size, size, frame)
			all = append(all, func() error { return e.Store(context.Background(), lane, batch) })
		}
		return all
	}
	marked, plain := stores(Options{Recall: true}), stores(Options{})
	var with, without usage
	run(b, r, perLane, marked)
	run(b, r, perLane, plain)
	for b.Loop() {
		with.add(run(b, r, perLane, marked))
		r.Do("DEL", testStream)
		without.add(run(b, r, perLane, plain))
		r.Do("DEL", testStream)
	}
	records := float64(b.N * perLane * lanes * size)
	b.ReportMetric(records/with.wall.Seconds(), "records/s")
	b.ReportMetric(micros(with.redis)/records, "µs-redis-cpu/record")
	b.ReportMetric(float64(with.redis)/float64(without.redis), "×redis-cpu")
	b.ReportMetric(float64(with.self)/float64(without.self), "×self-cpu")
	b.ReportMetric(without.wall.Seconds()/with.wall.Seconds(), "×rate")
	b.ReportMetric(float64(with.allocs)/records, "allocs/record")
	b.ReportMetric(float64(r.Do("MEMORY", "USAGE", markKey(testStream), "SAMPLES", 0).(int64))/
		float64(r.Do("HLEN", markKey(testStream)).(int64)), "B/mark")
	b.ReportMetric(0, "ns/op")
}

// frames is a batch of records of devices that send so many at once. It never comes again.
func frames(first, records, perFrame int) *engine.Batch {
	batch := enginetest.NewBatch("", first, records)
	for i := range batch.Records {
		batch.Records[i].DeviceID = fmt.Sprintf("35630704%07d", (first+i)/perFrame)
	}
	batch.ID = 0
	return batch
}

// BenchmarkLogins compares storing with marks and without, in turns, where three in ten frames are the first ones of
// their connections: 100 logins a second at 10,000 records a second, in frames of 10.
func BenchmarkLogins(b *testing.B) {
	const size, perFrame, rounds = 500, 10, 20
	r := testkit.StartRedis(b)
	store := func(o Options) func() error {
		o.Lanes = 1
		e := open(b, r, o)
		b.Cleanup(func() { _ = e.Close() })
		next := 0
		return func() error {
			batch := frames(0, size, perFrame)
			for i := range batch.Records {
				batch.Records[i].Timestamp += int64(next)
				if i/perFrame%10 < 3 {
					batch.Records[i].Doubt = engine.Arrived
				}
			}
			next += size
			return e.Store(context.Background(), 0, batch)
		}
	}
	marked, plain := store(Options{Recall: true}), store(Options{})
	making := func() error { frames(0, size, perFrame); return nil }
	var with, without, encode usage
	run(b, r, rounds, []func() error{marked})
	run(b, r, rounds, []func() error{plain})
	for b.Loop() {
		with.add(run(b, r, rounds, []func() error{marked}))
		without.add(run(b, r, rounds, []func() error{plain}))
		encode.add(run(b, r, rounds, []func() error{making}))
		r.Do("DEL", testStream)
	}
	b.ReportMetric(float64(with.redis)/float64(without.redis), "×redis-cpu")
	b.ReportMetric(float64(with.self-encode.self)/float64(without.self-encode.self), "×self-cpu")
	b.ReportMetric((without.wall-encode.wall).Seconds()/(with.wall-encode.wall).Seconds(), "×rate")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFirstFrames compares batches of which all frames are the first ones of their connections with others: new
// ones, of which the marks are read, and such that are sent again, which are looked for. Per frame of 10 records.
func BenchmarkFirstFrames(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) { benchmarkFirstFrames(b, again) })
	}
}

func benchmarkFirstFrames(b *testing.B, again bool) {
	const size, perFrame, rounds = 500, 10, 20
	r := testkit.StartRedis(b)
	e := open(b, r, Options{Lanes: 1, Recall: true})
	defer func() { _ = e.Close() }()
	next := 0
	store := func(d engine.Doubt, step int) func() error {
		return func() error {
			batch := frames(next, size, perFrame)
			for i := range batch.Records {
				batch.Records[i].Timestamp += int64(next)
				batch.Records[i].DeviceID = fmt.Sprintf("35630704%07d", i/perFrame)
			}
			doubted(batch, d)
			next += step
			return e.Store(context.Background(), 0, batch)
		}
	}
	var first, usual usage
	run(b, r, rounds, []func() error{store(0, size)})
	for b.Loop() {
		usual.add(run(b, r, rounds, []func() error{store(0, size)}))
		if again {
			next -= size // the last batch again
			first.add(run(b, r, rounds, []func() error{store(engine.Arrived, 0)}))
			next += size
		} else {
			first.add(run(b, r, rounds, []func() error{store(engine.Arrived, size)}))
		}
	}
	n := float64(b.N * rounds * size / perFrame)
	b.ReportMetric(micros(first.redis-usual.redis)/n, "µs-redis-cpu/frame")
	b.ReportMetric(micros(first.self-usual.self)/n, "µs-cpu/frame")
	b.ReportMetric(micros(usual.redis)/n, "µs-redis-cpu/usual")
	b.ReportMetric(micros(usual.self)/n, "µs-cpu/usual")
	b.ReportMetric(0, "ns/op")
}
