package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkStore compares Store with the least that a client can do: COPY, without a rule for conflicts, of rows made
// beforehand into the same table. Both run in turns on one server that flushes to its disk, so that what else the
// machine does hits both. The metrics:
//
//	records/s                        stored
//	×copy                            records/s as a share of COPY's
//	µs-cpu/record, allocs/record     of this process
//	µs-server-cpu/record             of PostgreSQL, and copy-µs-server-cpu/record for COPY
//	p50-ms, p99-ms                   of one Store
//	B/record                         on the disk, indexes included
func BenchmarkStore(b *testing.B) {
	for _, lanes := range []int{1, 2, 4} {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("lanes=%d/batch=%d", lanes, size), func(b *testing.B) { benchmarkStore(b, lanes, size) })
		}
	}
}

const (
	perLane = 20 // batches of a lane in a turn
	frame   = 10 // records of one device in a row
)

func benchmarkStore(b *testing.B, lanes, size int) {
	p := testkit.StartPostgres(b, "max_wal_size=4GB")
	e := openAt(b, p.URL(), func(o *Options) { o.Lanes = lanes })
	reporting := &fleet{}
	var stores, copies []writer
	for lane := range lanes {
		stores = append(stores, func(batch *engine.Batch) func() error {
			return func() error { return e.Store(context.Background(), lane, batch) }
		})
		copies = append(copies, bareCopy(b, p.URL()))
	}
	turn(b, p, stores, reporting, size) // connects and makes the tables
	var ours, bare usage
	room := ""
	for b.Loop() {
		ours.add(turn(b, p, stores, reporting, size))
		bare.add(turn(b, p, copies, reporting, size))
		room = p.SQL(`SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('records')) / count(*)
			FROM records`)
		p.SQL("TRUNCATE records")
	}
	records := float64(b.N * perLane * lanes * size)
	slices.Sort(ours.times)
	at := func(q float64) float64 { return ours.times[int(q*float64(len(ours.times)-1))].Seconds() * 1000 }
	b.ReportMetric(records/ours.wall.Seconds(), "records/s")
	b.ReportMetric(bare.wall.Seconds()/ours.wall.Seconds(), "×copy")
	b.ReportMetric(micros(ours.self)/records, "µs-cpu/record")
	b.ReportMetric(micros(ours.server)/records, "µs-server-cpu/record")
	b.ReportMetric(micros(bare.server)/records, "copy-µs-server-cpu/record")
	b.ReportMetric(float64(ours.allocs)/records, "allocs/record")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	perRecord, err := strconv.ParseFloat(room, 64)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(perRecord, "B/record")
	b.ReportMetric(0, "ns/op")
}

// fleet is a thousand devices that report in turn.
type fleet struct {
	device int
	sent   [1000]int // records by device
}

func (f *fleet) next(size int) *engine.Batch {
	batch := &engine.Batch{}
	for len(batch.Records) < size {
		f.device = (f.device + 619) % len(f.sent)
		batch.Records = append(batch.Records,
			enginetest.NewBatch(fmt.Sprintf("35630704%07d", f.device), f.sent[f.device], frame).Records...)
		f.sent[f.device] += frame
	}
	return enginetest.Sized(batch)
}

// writer makes a batch ready, and returns what writes it.
type writer func(batch *engine.Batch) func() error

// bareCopy is the limit.
func bareCopy(b *testing.B, url string) writer {
	b.Helper()
	conn, err := pgconn.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func(batch *engine.Batch) func() error {
		rows := copyRows(batch.Records)
		return func() error {
			_, err := conn.CopyFrom(context.Background(), bytes.NewReader(rows),
				"COPY records (id, device_id, ts, hash, codec, payload) FROM STDIN (FORMAT binary)")
			return err
		}
	}
}

// copyRows are the records in COPY's binary format.
func copyRows(records []engine.Record) []byte {
	rows := append([]byte("PGCOPY\n\xff\r\n\x00"), 0, 0, 0, 0, 0, 0, 0, 0)
	field := func(value []byte) {
		rows = append(binary.BigEndian.AppendUint32(rows, uint32(len(value))), value...)
	}
	for _, r := range records {
		rows = binary.BigEndian.AppendUint16(rows, 6)
		field(r.ID)
		field([]byte(r.DeviceID))
		field(binary.BigEndian.AppendUint64(nil, uint64(r.Timestamp)))
		field(binary.BigEndian.AppendUint64(nil, r.Hash))
		field([]byte(r.Codec))
		field(append([]byte{1}, r.Payload...)) // the version of jsonb
	}
	return binary.BigEndian.AppendUint16(rows, 0xffff)
}

// usage is what turns cost.
type usage struct {
	wall, self, server time.Duration
	allocs             uint64
	times              []time.Duration
}

func (u *usage) add(v usage) {
	u.wall += v.wall
	u.self += v.self
	u.server += v.server
	u.allocs += v.allocs
	u.times = append(u.times, v.times...)
}

// turn has all lanes write new batches at once. The batches are made ready before.
func turn(b *testing.B, p *testkit.Postgres, lanes []writer, reporting *fleet, size int) usage {
	b.Helper()
	work := make([][]func() error, len(lanes))
	for lane, ready := range lanes {
		for range perLane {
			work[lane] = append(work[lane], ready(reporting.next(size)))
		}
	}
	times := make([][]time.Duration, len(lanes))
	before, start := measure(b, p), time.Now()
	var running sync.WaitGroup
	for lane := range lanes {
		running.Go(func() {
			for _, write := range work[lane] {
				begin := time.Now()
				if err := write(); err != nil {
					b.Error(err)
					return
				}
				times[lane] = append(times[lane], time.Since(begin))
			}
		})
	}
	running.Wait()
	wall, after := time.Since(start), measure(b, p)
	return usage{wall, after.self - before.self, after.server - before.server, after.allocs - before.allocs,
		slices.Concat(times...)}
}

func measure(b *testing.B, p *testkit.Postgres) usage {
	b.Helper()
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{self: time.Duration(self.Utime.Nano() + self.Stime.Nano()), server: p.CPU(), allocs: memory.Mallocs}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
