package sqlite

import (
	"fmt"
	"os"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// BenchmarkStoredBytes sends what makes the most of the store from the fewest bytes: dead letters of 64 KiB of made-up
// devices, without a bound and with one of 64 MiB, and records of 30 bytes, the least that one can have, 100 in a
// frame. stored/sent is the size of the database for each byte sent.
func BenchmarkStoredBytes(b *testing.B) {
	for name, limit := range map[string]int64{"dead letters": 0, "dead letters, 64 MiB at most": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			storedBytes(b, limit, func(n int) (*engine.Batch, int) {
				const frame = 64 << 10
				batch := &engine.Batch{}
				for i := range 16 {
					batch.DeadLetters = append(batch.DeadLetters, engine.DeadLetter{
						DeviceID: fmt.Sprint(16*n + i), Codec: "8", Reason: "malformed", Received: time.Now(),
						Frame: make([]byte, frame), Transport: "tcp",
					})
				}
				return batch, 16 * frame
			})
		})
	}
	b.Run("records", func(b *testing.B) { storedBytes(b, 0, smallRecords) })
}

func storedBytes(b *testing.B, limit int64, next func(n int) (batch *engine.Batch, sent int)) {
	e := start(b)
	w, _ := e.turns.Take(b.Context())
	w.dead.limit = limit
	e.turns.Give(w)
	total, n := 0, 0
	for b.Loop() {
		batch, sent := next(n)
		total, n = total+sent, n+1
		if err := e.Store(b.Context(), 0, enginetest.Sized(batch)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := inTurn(b.Context(), e,
		func(w *writer) (any, error) { return w.db.ask("PRAGMA wal_checkpoint(TRUNCATE)") }); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(e.path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(total / n))
	b.ReportMetric(float64(info.Size())/float64(total), "stored/sent")
}

// smallRecords are the records of a frame as they are published, and the frame's size.
func smallRecords(n int) (*engine.Batch, int) {
	data := teltonika.AVLData{Codec: teltonika.Codec8}
	for i := range 100 {
		data.Records = append(data.Records, teltonika.Record{Timestamp: uint64(1_700_000_000_000 + 1000*(100*n+i))})
	}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		panic(err)
	}
	if err := data.Decode(frame[8 : len(frame)-4]); err != nil {
		panic(err)
	}
	batch := &engine.Batch{}
	var encoder record.Encoder
	encoder.Begin(record.Origin{DeviceID: device, Codec: data.Codec, Received: time.Now()})
	for i := range data.Records {
		if _, batch.Records, err = encoder.Append(nil, batch.Records, &data.Records[i]); err != nil {
			panic(err)
		}
	}
	return batch, len(frame)
}
