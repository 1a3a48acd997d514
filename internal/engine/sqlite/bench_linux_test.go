package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// BenchmarkStore stores batches of about 700-byte records of a thousand devices, and beside it, in
// turns, the same batches with a bare loop of prepared inserts through database/sql into a file
// with the same settings. ratio is how much faster Store is than the loop. cpu-us is what one
// record costs in processor time, which says more than the speed on a machine that is busy with
// other things. p99-ms and max-ms are the times of one Store, the pauses for moving the log into
// the database included. A frame is how many records of one device follow each other: with 1,
// nearly every record writes to a page of the id's index of its own.
func BenchmarkStore(b *testing.B) {
	for _, shape := range []struct{ batch, frame int }{
		{1, 1}, {32, 1}, {256, 1}, {1000, 1}, {1000, 10}, {4000, 10},
	} {
		b.Run(fmt.Sprintf("batch=%d/frame=%d", shape.batch, shape.frame), func(b *testing.B) {
			benchmarkStore(b, fleet{frame: shape.frame}, shape.batch)
		})
	}
}

func benchmarkStore(b *testing.B, reporting fleet, size int) {
	e := start(b)
	bare := newBareLoop(b, filepath.Join(b.TempDir(), "bare.db"))
	var store, loop stopwatch
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := reporting.next(size)
		bytes += len(batch.Records[0].Payload)
		loop.measure(func() { bare.store(b, batch) })
		b.StartTimer()
		store.measure(func() {
			if err := e.Store(b.Context(), 0, batch); err != nil {
				b.Fatal(err)
			}
		})
	}
	slices.Sort(store.times)
	batches := len(store.times)
	records := float64(size * batches)
	b.ReportMetric(records/store.total.Seconds(), "records/s")
	b.ReportMetric(records/loop.total.Seconds(), "loop-records/s")
	b.ReportMetric(loop.total.Seconds()/store.total.Seconds(), "ratio")
	b.ReportMetric(store.cpu.Seconds()*1e6/records, "cpu-us")
	b.ReportMetric(loop.cpu.Seconds()*1e6/records, "loop-cpu-us")
	b.ReportMetric(float64(bytes/batches), "bytes/record")
	b.ReportMetric(store.times[batches*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(store.times[batches-1].Seconds()*1000, "max-ms")
}

// stopwatch adds up time and processor time.
type stopwatch struct {
	times      []time.Duration
	total, cpu time.Duration
}

func (s *stopwatch) measure(work func()) {
	cpu, begin := processorTime(), time.Now()
	work()
	took := time.Since(begin)
	s.cpu += processorTime() - cpu
	s.total += took
	s.times = append(s.times, took)
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// fleet is a thousand devices that report in turn.
type fleet struct {
	frame int // records of one device at a time
	turn  int
	sent  [1000]int // records by device
}

func (f *fleet) next(size int) *engine.Batch {
	batch := &engine.Batch{}
	for i := range size {
		if i%f.frame == 0 {
			f.turn = (f.turn + 619) % len(f.sent)
		}
		batch.Records = append(batch.Records, enginetest.NewRecord(fmt.Sprintf("35630704%07d", f.turn), f.sent[f.turn]))
		f.sent[f.turn]++
	}
	return enginetest.Sized(batch)
}

// bareLoop is what one would write first.
type bareLoop struct {
	conn   *sql.Conn
	insert *sql.Stmt
}

func newBareLoop(b *testing.B, path string) *bareLoop {
	db := connect(b, path)
	conn, err := db.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	for _, pragma := range slices.Concat(sqlitefile.Pragmas, pragmas) {
		if _, err := conn.ExecContext(b.Context(), "PRAGMA "+pragma); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(b.Context(), schema); err != nil {
		b.Fatal(err)
	}
	insert, err := conn.PrepareContext(b.Context(),
		"INSERT INTO records (id, device_id, ts, codec, payload) VALUES (?,?,?,?,?) ON CONFLICT (id) DO NOTHING")
	if err != nil {
		b.Fatal(err)
	}
	return &bareLoop{conn: conn, insert: insert}
}

func (l *bareLoop) store(b *testing.B, batch *engine.Batch) {
	ctx := context.Background()
	tx, err := l.conn.BeginTx(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	insert := tx.StmtContext(ctx, l.insert)
	for i := range batch.Records {
		r := &batch.Records[i]
		if _, err := insert.ExecContext(ctx, string(r.ID), r.DeviceID, r.Timestamp, r.Codec, string(r.Payload)); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
