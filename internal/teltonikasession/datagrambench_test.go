package teltonikasession

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// benchPacketService has the queue of a real service and an engine that forgets.
func benchPacketService(b *testing.B) *packetService {
	s := newPacketServiceOf(b, 10_000, func(o *Options) { o.Logger = logging.New(io.Discard, slog.LevelInfo, true) })
	s.engine.Forget()
	return s
}

// BenchmarkDatagrams is many devices at once on one socket or several of one port: 32 for each processor, each waiting
// for its answer to a datagram of 10 records, as in BenchmarkSessions.
func BenchmarkDatagrams(b *testing.B) {
	for _, sockets := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("sockets%d", sockets), func(b *testing.B) {
			s := benchPacketService(b)
			s.adapter.datagrams.recordRate = limit.Rate{Burst: 1 << 30, Interval: 1} // its bound is not what is measured
			address := s.listenShared(sockets)
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(p *testing.PB) {
				d := newBenchDatagram(b, address, teltonika.Codec8E)
				for p.Next() {
					d.renew()
					d.exchange(b)
				}
			})
			b.ReportMetric(float64(b.N*benchRecords)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkFlood is what BenchmarkSessions' devices notice of a flood of datagrams from many addresses, sent by a
// process of its own as fast as it can: to a socket that nobody reads, which is what sending them costs on this
// machine, or to the service.
func BenchmarkFlood(b *testing.B) {
	for _, kind := range []string{"none", "unread", "records", "garbage", "malformed"} {
		b.Run(kind, func(b *testing.B) {
			s := benchPacketService(b)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s.server.Serve(l, nil)
			target := s.listenShared(1)
			if kind == "unread" {
				target = unread(b)
			}
			if kind != "none" {
				defer startFlood(b, kind, target)()
			}
			latency := exchangeAll(b, l.Addr().String())
			b.ReportMetric(float64(b.N*benchRecords)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(latency(0.5), "p50-ms")
			b.ReportMetric(latency(0.99), "p99-ms")
			b.ReportMetric(s.total("teltonika_udp_datagrams_total")/b.Elapsed().Seconds(), "datagrams/s")
		})
	}
}

// exchangeAll is BenchmarkSessions' load. It returns the quantiles of an exchange's time in ms.
func exchangeAll(b *testing.B, address string) func(float64) float64 {
	var mu sync.Mutex
	var all []float64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		d := newBenchDevice(b, address, teltonika.Codec8E)
		var took []float64
		for p.Next() {
			start := time.Now()
			d.exchange(b)
			took = append(took, time.Since(start).Seconds()*1000)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
	})
	slices.Sort(all)
	return func(q float64) float64 { return all[int(q*float64(len(all)-1))] }
}

// floodVar makes the test binary a flood: its kind and where it goes.
const floodVar = "TELTONIKASESSION_TEST_FLOOD"

func startFlood(b *testing.B, kind, target string) (stop func()) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floodVar+"="+kind+" "+target)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has begun
		b.Error(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// floodAway is the flood's process. It reports false in a process that is none, and else does not return.
func floodAway() bool {
	var kind, target string
	if n, _ := fmt.Sscan(os.Getenv(floodVar), &kind, &target); n != 2 {
		return false
	}
	frame := func() []byte { return goodFrame(1) }
	if kind == "malformed" {
		frame = func() []byte { return malformed(1) }
	}
	var conns []net.Conn
	for i := range 64 {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 1, 0, byte(i))}}
		conn, err := d.Dial("udp", target)
		if err != nil {
			panic(err)
		}
		conns = append(conns, conn)
	}
	datagrams := make([][]byte, 1<<16)
	for i := range datagrams {
		datagrams[i] = datagramOf(spoofed(i), 1, frame())
		if kind == "garbage" {
			datagrams[i] = []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n")
		}
	}
	fmt.Println("begun")
	for i := 0; ; i++ {
		_, _ = conns[i%len(conns)].Write(datagrams[i%len(datagrams)])
	}
}

// unread is the address of a socket that nobody reads.
func unread(b *testing.B) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// benchDatagram is a device with a datagram whose records get a new time before each exchange.
type benchDatagram struct {
	conn       net.Conn
	datagram   []byte
	records    []byte
	recordSize int
	time       uint64
	answer     [100]byte
}

func newBenchDatagram(b *testing.B, address string, codec teltonika.Codec) *benchDatagram {
	n := benchDevices.Add(1)
	datagram := datagramOf(spoofed(int(n)), 1, frameOf(codec, fresh(benchRecords)...))
	body := datagram[8+15:]
	d := &benchDatagram{datagram: datagram, records: body[2 : len(body)-1], time: 1_000_000_000_000 + n<<32}
	d.recordSize = len(d.records) / benchRecords
	conn, err := net.Dial("udp", address)
	if err != nil {
		b.Error(err)
		return d
	}
	b.Cleanup(func() { conn.Close() })
	d.conn = conn
	return d
}

func (d *benchDatagram) renew() {
	for i := range benchRecords {
		binary.BigEndian.PutUint64(d.records[i*d.recordSize:], d.time)
		d.time++
	}
}

func (d *benchDatagram) exchange(b *testing.B) {
	for range 100 { // on a busy machine the kernel may drop one
		d.conn.Write(d.datagram)
		d.conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := d.conn.Read(d.answer[:]); err == nil && n == teltonika.AnswerSize && d.answer[6] == benchRecords {
			return
		}
	}
	b.Error("no answer")
}

// listenShared adds so many sockets of one port and returns its address.
func (s *packetService) listenShared(sockets int) string {
	s.Helper()
	listen := net.ListenConfig{Control: asServed}
	address := "127.0.0.1:0"
	for range sockets {
		conn, err := listen.ListenPacket(s.Context(), "udp", address)
		if err != nil {
			s.Fatal(err)
		}
		address = conn.LocalAddr().String()
		s.packets.Serve(conn.(*net.UDPConn))
	}
	return address
}

// asServed lets several sockets have one port, and asks for the address that datagrams come to, as the service does.
func asServed(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1))
	}); controlErr != nil {
		return controlErr
	}
	return err
}

const soReusePort = 15 // of Linux; syscall has no name for it
