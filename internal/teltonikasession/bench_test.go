package teltonikasession

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// The benchmarks send frames of 10 records over loopback sockets and wait for each ACK. Everything is real but the
// engine, which takes the batches and keeps nothing. The devices' side, which makes every record new, is part
// of the time and allocates nothing.

// BenchmarkSession is one device.
func BenchmarkSession(b *testing.B) {
	for _, codec := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E} {
		b.Run("codec"+codec.String(), func(b *testing.B) {
			d := newBenchDevice(b, benchService(b), codec)
			b.ReportAllocs()
			for b.Loop() {
				d.exchange(b)
			}
			b.ReportMetric(float64(b.N*benchRecords)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkSessions is many devices at once: 32 for each processor.
func BenchmarkSessions(b *testing.B) {
	address := benchService(b)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		d := newBenchDevice(b, address, teltonika.Codec8E)
		for p.Next() {
			d.exchange(b)
		}
	})
	b.ReportMetric(float64(b.N*benchRecords)/b.Elapsed().Seconds(), "records/s")
}

const benchRecords = 10

// benchService listens on the returned address and has an engine that forgets.
func benchService(b *testing.B) string {
	s := newService(b)
	s.engine.Forget()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s.server.Serve(l, nil)
	return l.Addr().String()
}

// benchDevice is a logged-in device with a frame whose records get a new time before each exchange.
type benchDevice struct {
	conn       net.Conn
	frame      []byte
	recordSize int
	time       uint64
	answer     [4]byte
}

var (
	benchACK     = teltonika.AppendAck(nil, benchRecords)
	benchDevices atomic.Uint64
)

func newBenchDevice(b *testing.B, address string, codec teltonika.Codec) *benchDevice {
	frame := frameOf(codec, fresh(benchRecords)...)
	n := benchDevices.Add(1)
	d := &benchDevice{frame: frame, recordSize: (len(frame) - 15) / benchRecords, time: 1_000_000_000_000 + n<<32}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return d
	}
	d.conn = conn
	b.Cleanup(func() { conn.Close() })
	conn.Write(loginOf("D" + string(rune('A'+n%26)) + string(rune('A'+n/26%26)) + string(rune('A'+n/26/26%26))))
	if _, err := io.ReadFull(conn, d.answer[:1]); err != nil {
		b.Error(err)
	}
	return d
}

func (d *benchDevice) exchange(b *testing.B) {
	for i := range benchRecords {
		binary.BigEndian.PutUint64(d.frame[10+i*d.recordSize:], d.time)
		d.time++
	}
	d.conn.Write(reseal(d.frame))
	if _, err := io.ReadFull(d.conn, d.answer[:]); err != nil || !bytes.Equal(d.answer[:], benchACK) {
		b.Fatalf("answer %x, %v", d.answer, err)
	}
}

// BenchmarkPresence is what it costs to remember what became of a frame, and how much that is of a frame's exchange.
func BenchmarkPresence(b *testing.B) {
	d := newBenchDevice(b, benchService(b), teltonika.Codec8E)
	const frames = 20_000
	begin := time.Now()
	for range frames {
		d.exchange(b)
	}
	exchange := time.Since(begin) / frames

	o := Options{IdleTimeout: idleTimeout, Logger: slog.New(slog.DiscardHandler)}
	withDevices(&o)
	w := &frameContext{acknowledged: benchRecords}
	w.device, w.Received, w.Codec = o.Devices.Hold(imei), time.Now(), teltonika.Codec8E
	records := fresh(benchRecords)
	b.ReportAllocs()
	for b.Loop() {
		w.last = asLast(newest(records), w.Received)
		w.remember(publish.Outcome{Published: benchRecords})
		w.heard()
	}
	each := float64(b.Elapsed()) / float64(b.N)
	b.ReportMetric(100*each/float64(exchange), "%/frame")
}
