package kafka

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkBesideRedis stores the same frames through the publisher in Kafka, compressed and not, and in one Redis, in
// turns, so that what else the machine does hits all. 1,000 sessions wait, each for a frame of ten records. The metrics
// are per record: processor time of this process, and Kafka's more than Redis'; records a second; a frame's latency.
func BenchmarkBesideRedis(b *testing.B) {
	r := testkit.StartRedis(b, "--appendonly", "yes", "--appendfsync", "everysec")
	toRedis, err := redisstream.New(redisstream.Options{URL: r.URL(), Stream: "telemetry:teltonika", Logger: discard})
	if err != nil {
		b.Fatal(err)
	}
	stores := []*benched{
		newBenched(b, "redis", toRedis),
		newBenched(b, "kafka", open(b, broker.Addrs(), newTopics(b, broker, 12, 1), compression("none"))),
		newBenched(b, "zstd", open(b, broker.Addrs(), newTopics(b, broker, 12, 1), compression("zstd"))),
	}
	for _, s := range stores {
		s.run(b) // connects
		s.total, s.waits = cost{}, nil
	}
	for b.Loop() {
		for _, s := range stores {
			s.run(b)
		}
		r.Do("DEL", "telemetry:teltonika")
	}
	redis := stores[0].perRecord(b)
	for _, s := range stores {
		slices.Sort(s.waits)
		at := func(q float64) float64 { return s.waits[int(q*float64(len(s.waits)-1))].Seconds() * 1000 }
		b.ReportMetric(float64(b.N*benchRecords)/s.total.wall.Seconds(), s.name+"-records/s")
		b.ReportMetric(s.perRecord(b), s.name+"-µs-cpu/record")
		b.ReportMetric(s.perRecord(b)-redis, s.name+"-µs-over-redis")
		b.ReportMetric(float64(s.total.allocs)/float64(b.N*benchRecords), s.name+"-allocs/record")
		b.ReportMetric(at(0.5), s.name+"-p50-ms")
		b.ReportMetric(at(0.99), s.name+"-p99-ms")
	}
	b.ReportMetric(0, "ns/op")
}

var discard = slog.New(slog.DiscardHandler)

func compression(c string) func(*Options) { return func(o *Options) { o.Compression = c } }

const (
	benchSessions = 1000
	benchFrames   = 20 // of each session in a run
	benchRecords  = benchSessions * benchFrames * frameRecords
)

// benched is an engine behind a publisher.
type benched struct {
	name      string
	publisher *publish.Publisher
	next      int // frames of each session so far
	total     cost
	waits     []time.Duration
}

type cost struct {
	wall, self time.Duration
	allocs     uint64
}

func newBenched(b *testing.B, name string, e engine.Engine) *benched {
	p := publish.New(publish.Options{
		Engine: e, Capacity: 2 * benchSessions * frameRecords, LargestFrame: 255, Timeout: time.Minute,
		Metrics: publish.NewMetrics(prometheus.NewRegistry()), Logger: discard,
	})
	b.Cleanup(func() { p.Close(); _ = e.Close() })
	return &benched{name: name, publisher: p}
}

// run has every session publish its frames. What it publishes is made before.
func (s *benched) run(b *testing.B) {
	var running sync.WaitGroup
	frames := make([][]engine.Record, benchSessions)
	for n := range frames {
		frames[n] = enginetest.NewBatch(fmt.Sprintf("3563070424%05d", n), s.next, benchFrames*frameRecords).Records
	}
	s.next += benchFrames * frameRecords
	waits := make([][]time.Duration, benchSessions)
	before := measure(b)
	start := time.Now()
	for n := range frames {
		running.Go(func() {
			for own := range slices.Chunk(frames[n], frameRecords) {
				begin := time.Now()
				if err := s.publish(own); err != nil {
					b.Error(err)
					return
				}
				waits[n] = append(waits[n], time.Since(begin))
			}
		})
	}
	running.Wait()
	after := measure(b)
	s.total.wall += time.Since(start)
	s.total.self += after.self - before.self
	s.total.allocs += after.allocs - before.allocs
	for _, w := range waits {
		s.waits = append(s.waits, w...)
	}
}

func (s *benched) publish(records []engine.Record) error {
	f, err := s.publisher.Admit(nil, records[0].DeviceID, len(records))
	if err != nil {
		return err
	}
	f.Records = append(f.Records, records...)
	_, err = s.publisher.Publish(f)
	return err
}

func (s *benched) perRecord(b *testing.B) float64 {
	return float64(s.total.self) / float64(time.Microsecond) / float64(b.N*benchRecords)
}

func measure(b *testing.B) cost {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return cost{self: time.Duration(self.Utime.Nano() + self.Stime.Nano()), allocs: memory.Mallocs}
}
